"use strict";
// The table of all classes.

function setUpClassTable() {
  const { results, distance } = payload, last = distance.rivals.length - 1;
  const rival = (code) => distance.rivals[last][code] < 0 ? null : className(distance.rivals[last][code]);
  const of = (values) => (code) => values[code];
  const bounds = (code) => results.recall_low[code] === null ? null : `[${results.recall_low[code].toFixed(2)}–${results.recall_high[code].toFixed(2)}]`;
  const columns = [
    { title: "Class", value: className },
    { title: "Recall", number: true, value: of(payload.recall), text: decimals(2) },
    { title: "95% interval", number: true, value: of(results.recall_low), text: (_, code) => bounds(code), file: [["Recall, lower bound", of(results.recall_low)], ["Recall, upper bound", of(results.recall_high)]] },
    { title: "Precision", number: true, value: of(results.precision), text: decimals(2) },
    { title: "F1", number: true, value: of(results.f1), text: decimals(2) },
    { title: "Test samples", number: true, value: of(payload.test), text: grouped },
    { title: "Training samples", number: true, value: of(payload.training), text: grouped },
    { title: "Group", value: of(payload.groups) },
    { title: "Nearest other class", value: rival },
    ...(payload.covered ? [{ title: "In 90% set", number: true, value: of(payload.covered), text: decimals(2) }] : []),
  ];
  const searched = (code) => `${className(code)} ${payload.groups[code]}`;
  const rows = payload.classes.map((_, code) => code);
  makeTable(document.getElementById("class-table"), columns, rows, searched, { column: 4, descending: false });
}
