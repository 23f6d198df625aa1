"use strict";
// Interactive parts of the report on several labels: table, curves of a label, pairs, errors.

const columnOf = (name) => (place) => payload.labels[name][place];

function setUpLabelTable() {
  const bounds = (low, high) => (_, place) => `[${columnOf(low)(place).toFixed(2)}–${columnOf(high)(place).toFixed(2)}]`;
  const count = (title, name) => ({ title, number: true, value: columnOf(name), text: grouped });
  const score = (title, name) => ({ title, number: true, value: columnOf(name), text: decimals(2) });
  const between = (title, low, high) => ({
    title: "95% interval", number: true, value: columnOf(low), text: bounds(low, high),
    file: [[`${title}, lower bound`, columnOf(low)], [`${title}, upper bound`, columnOf(high)]],
  });
  const columns = [
    { title: "Label", value: className },
    score("Average precision", "average_precision"),
    between("Average precision", "low", "high"),
    { ...score("By guessing", "shares"), file: [["Share of test samples with the label", columnOf("shares")]] },
    { ...score("Baseline", "baseline"), file: [["Average precision of the baseline", columnOf("baseline")]] },
    score("AUROC", "auroc"),
    score("Precision", "precision"),
    score("Recall", "recall"),
    between("Recall", "recall_low", "recall_high"),
    score("F1", "f1"),
    score("Threshold", "threshold"),
    ...(payload.labels.covered ? [score("In 90% set", "covered")] : []),
    { title: "Group", value: (place) => payload.groups[place] },
    count("Training: with it", "training"),
    count("Training: without", "training_without"),
    count("Training: not known", "unknown"),
    count("Test: with it", "test"),
    count("Test: without", "test_without"),
  ];
  const rows = payload.classes.map((_, place) => place);
  const searched = (place) => `${className(place)} ${payload.groups[place]}`;
  makeTable(document.getElementById("label-table"), columns, rows, searched, { column: columns.findIndex((one) => one.title === "Training: with it"), descending: true });
}

function setUpCurves() {
  const choice = document.getElementById("curve-label"), status = document.getElementById("curve-status");
  function show() {
    const place = Number(choice.value), given = payload.curves[place], of = (name) => columnOf(name)(place);
    const share = of("shares"), known = of("test") > 0, precision = of("average_precision");
    const lines = [given.model, given.baseline, known ? [[0, 1], [share, share]] : [[], []], of("precision") === null ? [[], []] : [[of("recall")], [of("precision")]]];
    Plotly.restyle("curves", { x: lines.map(([x]) => x), y: lines.map(([, y]) => y) });
    const baseline = precision === null ? "" : `, baseline ${of("baseline").toFixed(2)}, guessing ${share.toFixed(2)}`;
    status.textContent = precision === null ? "This label cannot be judged." : `average precision ${precision.toFixed(2)}${baseline}`;
  }
  choice.addEventListener("change", show);
  show();
}

function setUpPairs() {
  const shown = payload.shown.map(className);
  const text = shown.map((one) => shown.map((other) => `of those with ${plainText(one)}<br>have ${plainText(other)}`));
  for (const name of ["pairs-training", "pairs-predicted"]) {
    const place = document.getElementById(name);
    Plotly.restyle(place, { text: [text], hovertemplate: "%{z:.0%} %{text}<extra></extra>" });
    fitLabels(place, shown);
  }
}

function setUpErrors() {
  for (const [name, errors] of Object.entries(payload.errors)) {
    const place = document.getElementById(name);
    if (!place) continue;
    place.replaceChildren(...errors.map((one) => {
      const has = one.has.length ? `known labels: ${one.has.map(className).join(", ")}` : "none of the labels is known to be present";
      const text = `${one.name}; probability ${one.probability < 0.01 ? one.probability.toFixed(4) : one.probability.toFixed(2)}; ${has}`;
      const drawn = one.drawings.map((number) => drawing(number, `Drawing of ${one.name}`));
      return element("article", { class: "card" }, element("h3", {}, className(one.label)), ...drawn, element("p", { class: "note" }, text), ...copyButton(smiles[one.smiles]));
    }));
  }
}

// Room for every name, as far as the page is wide.
function sizePairs() {
  for (const name of ["pairs-training", "pairs-predicted"]) {
    const place = document.getElementById(name), height = 190 + (LABEL_SIZE + 2) * payload.shown.length;
    if (!isNarrow(place) && height > place.clientHeight) place.style.height = `${height}px`;
  }
}

(async () => {
  sizePairs();
  const unpacked = Promise.all([unpack(payload.drawings), unpack(payload.smiles)]);
  await Promise.all(Object.keys(payload.figures).map(drawFigure));
  setUpLabelTable();
  setUpCurves();
  setUpPairs();
  [drawings, smiles] = await unpacked;
  setUpErrors();
  document.documentElement.dataset.ready = "yes";
})();
