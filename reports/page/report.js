"use strict";
// Interactive parts of the report: slider, search, confusions.

// --- Distances ---

function setUpDistances() {
  const given = payload.distance, slider = document.getElementById("recluster"), status = document.getElementById("recluster-status");
  let step = given.epochs.length - 1;
  const columns = [
    { title: "Class", value: className },
    { title: "Nearest other class", value: (code) => given.rivals[step][code] < 0 ? null : className(given.rivals[step][code]) },
    { title: "Distance", number: true, value: (code) => given.nearest[step][code], text: decimals(3) },
    { title: "Recall", number: true, value: (code) => payload.recall[code], text: decimals(2) },
    { title: "Training samples", number: true, value: (code) => payload.training[code], text: grouped },
    { title: "Group", value: (code) => payload.groups[code] },
  ];
  const searched = (code) => `${className(code)} ${given.rivals[step][code] < 0 ? "" : className(given.rivals[step][code])}`;
  const table = makeTable(document.getElementById("rivals"), columns, payload.classes.map((_, code) => code), searched, { column: 2, descending: false });
  function show() {
    status.textContent = given.epochs[step] === null ? "best checkpoint" : `before epoch ${given.epochs[step]} (${step + 1} of ${given.epochs.length})`;
    slider.setAttribute("aria-valuetext", status.textContent);
    Plotly.restyle("distances", { z: [given.matrices[step]] });
    table.refresh();
  }
  const shown = given.shown.map(className), heat = document.getElementById("distances");
  Plotly.restyle(heat, { text: [shown.map((one) => shown.map((other) => `${plainText(one)} – ${plainText(other)}`))], hovertemplate: "%{text}: %{z:.3f}<extra></extra>" });
  fitLabels(heat, shown);
  slider.max = String(step);
  slider.value = String(step);
  slider.disabled = step === 0;
  slider.addEventListener("input", () => { step = Number(slider.value); show(); });
  status.textContent = given.epochs[step] === null ? "best checkpoint" : `before epoch ${given.epochs[step]} (${step + 1} of ${given.epochs.length})`;
}

// --- Map ---

function setUpMap() {
  const place = document.getElementById("map"), points = payload.map, panel = document.getElementById("sample");
  const find = document.getElementById("map-search"), status = document.getElementById("map-status");
  let current = -1, chosen = points.classes.map((_, number) => number);

  function show(number) {
    current = number;
    const training = number < points.training, right = points.predicted[number] === points.classes[number];
    const name = points.names[number], probability = points.confidence[number].toFixed(2);
    const drawn = [];
    for (let part = 0; part < points.perSample; part++) drawn.push(drawing(number * points.perSample + part, `Drawing of ${name}`));
    const facts = element("dl", { class: "facts" });
    const rows = [["Class", className(points.classes[number])], ["Predicted", className(points.predicted[number]) + (right ? "" : " (wrong)")],
      ["Probability", probability], ["Split", training ? "training" : "test"]];
    for (const [term, text] of rows) facts.append(element("dt", {}, term), element("dd", {}, text));
    panel.replaceChildren(element("div", { class: "drawings" }, ...drawn), element("h3", {}, name), facts, ...copyButton(smiles[number]));
  }
  for (const event of ["plotly_hover", "plotly_click"]) place.on(event, (given) => show(given.points[0].customdata));

  function highlight() {
    const words = find.value.trim().toLowerCase();
    const exact = payload.classes.findIndex((name) => name.toLowerCase() === words);
    const fits = payload.classes.map((name, code) => exact >= 0 ? code === exact : name.toLowerCase().includes(words));
    chosen = points.classes.map((_, number) => number).filter((number) => fits[points.classes[number]]);
    const selected = place.data.map((trace) => words ? trace.customdata.map((number, index) => fits[points.classes[number]] ? index : -1).filter((index) => index >= 0) : null);
    Plotly.restyle(place, { selectedpoints: selected });
    status.textContent = words ? `${chosen.length} of ${points.classes.length} points` : "";
  }
  find.addEventListener("input", highlight);
  function step(by) {
    if (!chosen.length) return;
    const at = chosen.indexOf(current);
    show(chosen[at < 0 ? 0 : (at + by + chosen.length) % chosen.length]);
  }
  document.getElementById("previous-sample").addEventListener("click", () => step(-1));
  document.getElementById("next-sample").addEventListener("click", () => step(1));
  const layouts = document.getElementById("map-layout");
  if (layouts) layouts.addEventListener("change", () => {
    const [x, y] = points.layouts[layouts.value], axes = payload.figures.map.layout, own = layouts.value === "PCA";
    const picked = (values) => place.data.map((trace) => trace.customdata.map((number) => values[number]));
    Plotly.update(place, { x: picked(x), y: picked(y) }, {
      "xaxis.title.text": own ? axes.xaxis.title.text : layouts.value + " 1", "yaxis.title.text": own ? axes.yaxis.title.text : layouts.value + " 2",
      "xaxis.autorange": true, "yaxis.autorange": true,
    });
  });
  const wrong = points.classes.findIndex((code, number) => number >= points.training && code !== points.predicted[number]);
  if (points.classes.length) show(wrong < 0 ? 0 : wrong);
}

// --- Confusions ---

const CARDS_FIRST = 6;

function setUpConfusions() {
  const place = document.getElementById("confusion-cards"), order = document.getElementById("confusion-order"), more = document.getElementById("more-confusions");
  if (!place) return;
  let all = false;

  // A name that starts with a hyphen stays in one piece at the end of a line.
  const nameOf = (text) => element("span", { class: "name" }, text);

  function side(given, title) {
    const drawn = given.drawings.map((number) => drawing(number, `Drawing of ${given.name}`));
    return element("figure", {}, ...drawn, element("figcaption", {}, ...title, ": ", nameOf(given.name)), ...copyButton(smiles[given.smiles]));
  }
  function card(one) {
    const count = one.samples === 1 ? "1 test sample" : `${grouped(one.samples)} test samples`;
    const text = `${count} (${(100 * one.share).toFixed(0)}% of the class); costs ${(100 * one.cost).toFixed(2)} percentage points of balanced accuracy.`;
    const made = element("article", { class: "card" }, element("h3", {}, nameOf(className(one.true)), " predicted as ", nameOf(className(one.predicted))), element("p", { class: "note" }, text));
    for (const example of one.examples) {
      const pair = element("div", { class: "pair" }, side(example.test, ["Test sample of ", nameOf(className(one.true)), ", predicted as ", nameOf(className(one.predicted)), ` with probability ${example.confidence.toFixed(2)}`]));
      if (example.training) pair.append(side(example.training, ["Most similar training sample of ", nameOf(className(one.predicted)), `, cosine similarity ${example.similarity.toFixed(2)}`]));
      made.append(pair);
    }
    return made;
  }
  function refresh() {
    const key = order.value;
    const sorted = [...payload.confusions].sort((one, other) => other[key] - one[key] || other.samples - one.samples);
    place.replaceChildren(...(all ? sorted : sorted.slice(0, CARDS_FIRST)).map(card));
    more.hidden = all || sorted.length <= CARDS_FIRST;
  }
  order.addEventListener("change", refresh);
  more.addEventListener("click", () => { all = true; refresh(); });
  refresh();
}

(async () => {
  const unpacked = Promise.all([unpack(payload.drawings), unpack(payload.smiles)]);
  await Promise.all(Object.keys(payload.figures).filter((name) => name !== "matrix").map(drawFigure));
  await setUpMatrix();
  setUpClassTable();
  setUpDistances();
  [drawings, smiles] = await unpacked;
  setUpMap();
  setUpConfusions();
  document.documentElement.dataset.ready = "yes";
})();
