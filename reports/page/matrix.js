"use strict";
// Heat maps of pairs of classes: names along the axes as far as they fit, and the matrix of all confusions.

const LABEL_SIZE = 11;

// Shows every name along both axes, or every nth where there is no room for all; again after each zoom.
function fitLabels(place, names) {
  const most = isNarrow(place) ? 11 : 24;
  const short = names.map((name) => plainText(name.length <= most ? name : name.slice(0, most - 1) + "…"));
  function fit() {
    const change = {};
    for (const name of ["xaxis", "yaxis"]) {
      const axis = place._fullLayout[name], low = Math.min(...axis.range), high = Math.max(...axis.range);
      const step = Math.max(1, Math.ceil((LABEL_SIZE + 1) * (high - low) / axis._length)), places = [];
      for (let at = Math.max(0, Math.ceil(low / step) * step); at <= Math.min(names.length - 1, high); at += step) places.push(at);
      const shown = places.map((at) => short[at]);
      if (String(axis.tickvals) === String(places) && String(axis.ticktext) === String(shown)) continue;
      change[`${name}.tickvals`] = places;
      change[`${name}.ticktext`] = shown;
      change[`${name}.tickfont.size`] = LABEL_SIZE;
    }
    if (Object.keys(change).length) Plotly.relayout(place, change);
  }
  place.removeAllListeners("plotly_relayout");
  place.on("plotly_relayout", fit);
  fit();
}

const share = (part, whole) => `${grouped(part)} of ${grouped(whole)} test samples (${(100 * part / whole).toFixed(0)}%)`;

function matrixColors() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches && !matchMedia("print").matches;
  return dark
    ? [[0, "#ffc9a3"], [0.3, "#e0752d"], [0.4999, "#6b3413"], [0.5, "#17405f"], [0.7, "#3f92cf"], [1, "#d4ebfb"]]
    : [[0, "#8a2f00"], [0.3, "#e0752d"], [0.4999, "#fbdcc5"], [0.5, "#d3e6f3"], [0.7, "#4d97c9"], [1, "#083d6b"]];
}

function setUpMatrix() {
  const place = document.getElementById("matrix"), status = document.getElementById("matrix-status"), given = payload.matrix;
  const find = document.getElementById("matrix-search"), order = document.getElementById("matrix-order");
  const size = given.size.length, narrow = isNarrow(place), figure = payload.figures.matrix;
  const height = narrow ? place.clientWidth + 120 : Math.min(1120, Math.max(460, 190 + (LABEL_SIZE + 2) * size));
  place.style.height = `${height}px`;
  if (!narrow) place.style.maxWidth = `${height + 130}px`;
  let codes = [], at = { x: (size - 1) / 2, y: (size - 1) / 2 }, half = size / 2;

  function cells() {
    const places = new Map(codes.map((code, number) => [code, number]));
    const empty = () => Array.from({ length: size }, () => new Array(size).fill(null));
    const z = empty(), text = empty();
    for (let start = 0; start < given.cells.length; start += 3) {
      const [own, taken, count] = given.cells.slice(start, start + 3), row = places.get(own), column = places.get(taken);
      z[row][column] = (own === taken ? 1 : -1) * count / given.samples[own];
      text[row][column] = `${plainText(className(own))}<br>${own === taken ? "found" : `predicted as ${plainText(className(taken))}`}: ${share(count, given.samples[own])}`;
    }
    return { z, text };
  }
  function show() {
    half = Math.min(size / 2, Math.max(2.5, half));
    const start = (center) => Math.min(size - 0.5 - 2 * half, Math.max(-0.5, center - half));
    const [x, y] = [start(at.x), start(at.y)];
    return Plotly.relayout(place, { "xaxis.range": [x, x + 2 * half], "yaxis.range": [y + 2 * half, y] });
  }
  function zoom(factor) {
    // Where the user has zoomed by hand, the buttons go on from there.
    const { xaxis, yaxis } = place._fullLayout, middle = (axis) => (axis.range[0] + axis.range[1]) / 2;
    if (Math.abs(middle(xaxis) - at.x) > half || Math.abs(middle(yaxis) - at.y) > half) at = { x: middle(xaxis), y: middle(yaxis) };
    half = Math.abs(xaxis.range[1] - xaxis.range[0]) / 2 * factor;
    show();
  }
  function describe(code) {
    const wrong = [];
    for (let start = 0; start < given.cells.length; start += 3) {
      if (given.cells[start] === code && given.cells[start + 1] !== code) wrong.push([given.cells[start + 2], className(given.cells[start + 1])]);
    }
    wrong.sort((one, other) => other[0] - one[0]);
    const unseen = given.samples[code] ? `no training samples; ${grouped(given.samples[code])} test samples, which are in no metric` : "no test samples";
    const found = payload.evaluated[code] ? share(payload.hits[code], payload.evaluated[code]) : unseen;
    const rest = wrong.slice(0, 5).map(([count, name]) => `${name} (${grouped(count)})`).join(", ");
    return `${className(code)}: ${found}${payload.evaluated[code] ? " found" : ""}${rest ? `; mistaken for ${rest}` : ""}.`;
  }
  function arrange() {
    codes = given[order.value];
    const { z, text } = cells();
    return Plotly.update(place, { z: [z], text: [text] }, {}).then(() => fitLabels(place, codes.map(className)));
  }
  order.addEventListener("change", arrange);
  find.addEventListener("input", () => {
    const words = find.value.trim().toLowerCase();
    if (!words) return;
    const fits = (name) => name.toLowerCase();
    let number = codes.findIndex((code) => fits(className(code)) === words);
    if (number < 0) number = codes.findIndex((code) => fits(className(code)).includes(words));
    if (number < 0) { status.textContent = "No class of this name is in the matrix."; return; }
    at = { x: number, y: number };
    half = narrow ? 6 : 12;
    status.textContent = describe(codes[number]);
    show();
  });
  document.getElementById("matrix-in").addEventListener("click", () => zoom(0.5));
  document.getElementById("matrix-out").addEventListener("click", () => zoom(2));
  document.getElementById("matrix-all").addEventListener("click", () => { half = size / 2; show(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => Plotly.restyle(place, { colorscale: [matrixColors()] }));

  codes = given[order.value];
  Object.assign(figure.data[0], cells(), { colorscale: matrixColors() });
  figure.layout.xaxis.range = [-0.5, size - 0.5];
  figure.layout.yaxis.range = [size - 0.5, -0.5];
  return drawFigure("matrix").then(() => {
    fitLabels(place, codes.map(className));
    for (const event of ["plotly_hover", "plotly_click"]) place.on(event, ({ points: [point] }) => {
      at = { x: point.x, y: point.y };
      const [own, taken] = [codes[point.y], codes[point.x]];
      const count = Math.round(Math.abs(point.z) * given.samples[own]);
      status.textContent = `${className(own)} ${own === taken ? "found" : `predicted as ${className(taken)}`}: ${share(count, given.samples[own])}.`;
    });
  });
}
