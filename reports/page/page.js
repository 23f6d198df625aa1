"use strict";
// Shared by report and comparison: figures in the colors of the theme, and tables that can be sorted and searched.

const payload = JSON.parse(document.getElementById("payload").textContent);

function themeColors() {
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(name).trim();
  return { ink: color("--ink"), soft: color("--soft"), grid: color("--grid"), line: color("--line") };
}

function themedLayout(layout, narrow) {
  const { ink, soft, grid, line } = themeColors();
  const themed = { ...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)" };
  themed.font = { color: ink, size: narrow ? 11 : 13, family: "system-ui, -apple-system, Segoe UI, Roboto, Arial, sans-serif" };
  themed.hoverlabel = { namelength: -1 };
  themed.modebar = { bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: ink };
  for (const name of ["xaxis", "yaxis"]) {
    themed[name] = { gridcolor: grid, linecolor: line, zerolinecolor: line, ...layout[name] };
  }
  if (layout.annotations) themed.annotations = layout.annotations.map((note) => ({ ...note, arrowcolor: ink }));
  // On touch screens, dragging over a figure must scroll the page.
  if (matchMedia("(pointer: coarse)").matches) themed.dragmode = false;
  return themed;
}

const isNarrow = (place) => place.clientWidth < 600;

// As in Python's plain_text: Plotly would read <b> as bold.
const plainText = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

function drawFigure(name) {
  const place = document.getElementById(name), given = payload.figures[name];
  if (!place || !given) return Promise.resolve();
  const narrow = isNarrow(place);
  place.classList.toggle("buttons", !narrow);
  // Below the figure, a horizontal bar would cover the names of the classes.
  const traces = given.data.map((trace) => narrow && trace.colorbar
    ? { ...trace, colorbar: { ...trace.colorbar, orientation: "h", x: 0.5, y: 1.01, yanchor: "bottom", len: 1, title: { ...trace.colorbar.title, side: "top" } } }
    : trace);
  const named = traces.filter((trace) => trace.name && trace.showlegend !== false).map((trace) => trace.name.length);
  // Entries of a legend stand in columns as wide as the longest of them.
  if (narrow && named.length > 3) place.style.height = `${310 + 22 * (Math.max(...named) > 16 ? named.length : Math.ceil(named.length / 2))}px`;
  const buttons = ["select2d", "lasso2d", "autoScale2d", "hoverClosestCartesian", "hoverCompareCartesian"];
  const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: buttons, showTips: false, displayModeBar: narrow ? false : "hover" };
  return Plotly.newPlot(place, traces, themedLayout(given.layout, narrow), config);
}

function recolor() {
  for (const name of Object.keys(payload.figures)) {
    const place = document.getElementById(name);
    if (!place || !place.layout) continue;
    const { ink, soft, grid, line } = themeColors();
    const change = { "font.color": ink, "modebar.color": soft, "modebar.activecolor": ink };
    for (const axis of ["xaxis", "yaxis"]) {
      change[`${axis}.gridcolor`] = grid; change[`${axis}.linecolor`] = line; change[`${axis}.zerolinecolor`] = line;
    }
    (place.layout.annotations || []).forEach((_, number) => { change[`annotations[${number}].arrowcolor`] = ink; });
    Plotly.relayout(place, change);
  }
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolor);
addEventListener("beforeprint", () => { recolor(); document.querySelectorAll(".plot").forEach((place) => place.layout && Plotly.Plots.resize(place)); });
addEventListener("afterprint", recolor);

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") made.className = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

const ROWS_FIRST = 50;

// Fills an element with a table. Each column is {title, value(row), text(value, row), number, faint(row), file}; rows can
// be anything. searched(row) is the text to search, start the initial {column, descending}. With data-file, a button saves
// all rows as CSV, in which `file` lists the [title, value(row)] that stand for a column. Returns {refresh}.
function makeTable(place, columns, rows, searched, start) {
  let order = start, all = false;
  const search = document.getElementById(`${place.id}-search`);
  const count = element("p", { class: "note", "aria-live": "polite" });
  const table = element("table"), head = element("tr"), body = element("tbody");
  const more = element("button", { type: "button" }, "Show all rows");
  table.append(element("thead", {}, head), body);
  columns.forEach((column, number) => {
    const button = element("button", { type: "button" }, column.title);
    const cell = element("th", { scope: "col", class: column.number ? "number" : "" }, button);
    button.addEventListener("click", () => {
      order = { column: number, descending: order.column === number ? !order.descending : Boolean(column.number) };
      refresh();
    });
    head.append(cell);
  });
  more.addEventListener("click", () => { all = true; refresh(); });
  if (search) search.addEventListener("input", refresh);

  function compare(one, other) {
    const missing = (value) => value === null || value === undefined;
    const [a, b] = [one, other].map(columns[order.column].value);
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    const sign = typeof a === "string" ? a.localeCompare(b, undefined, { numeric: true }) : a - b;
    return order.descending ? -sign : sign;
  }
  function refresh() {
    const words = search ? search.value.trim().toLowerCase() : "";
    const found = rows.filter((row) => !words || searched(row).toLowerCase().includes(words)).sort(compare);
    const shown = all ? found : found.slice(0, ROWS_FIRST);
    body.replaceChildren(...shown.map((row) => element("tr", {}, ...columns.map((column) => {
      const value = column.value(row);
      const text = value === null || value === undefined ? "–" : column.text ? column.text(value, row) : String(value);
      const look = [column.number && "number", column.faint && column.faint(row) && "faint"].filter(Boolean).join(" ");
      return element("td", look ? { class: look } : {}, text);
    }))));
    [...head.children].forEach((cell, number) => {
      if (number === order.column) cell.setAttribute("aria-sort", order.descending ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    });
    const shownText = shown.length < found.length ? `, first ${shown.length} shown` : "";
    count.textContent = `${found.length} of ${rows.length} ${place.dataset.unit || "classes"}${shownText}`;
    more.hidden = shown.length === found.length;
  }
  const buttons = element("div", { class: "controls" }, more);
  if (place.dataset.file) {
    const save = element("button", { type: "button" }, "Download as CSV");
    save.addEventListener("click", () => download(place.dataset.file, csvText(columns, rows)));
    buttons.append(save);
  }
  place.replaceChildren(count, element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": place.dataset.label || "table" }, table), buttons);
  refresh();
  return { refresh };
}

function csvText(columns, rows) {
  const written = columns.flatMap((column) => column.file || [[column.title, column.value]]);
  const cell = (value) => value === null || value === undefined ? "" : /[",\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : String(value);
  const lines = [written.map(([title]) => title), ...rows.map((row) => written.map(([, value]) => value(row)))];
  return lines.map((line) => line.map(cell).join(",") + "\r\n").join("");
}

function download(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

const decimals = (digits) => (value) => value.toFixed(digits);
const grouped = (value) => value.toLocaleString("en");
