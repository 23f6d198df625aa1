"use strict";

(async () => {
  await Promise.all(Object.keys(payload.figures).map(drawFigure));
  const { names, recalls } = payload;
  const difference = (run) => (code) => {
    const [own, first] = [recalls[run][code], recalls[0][code]];
    return own === null || first === null ? null : own - first;
  };
  const signed = (value) => (value > 0 ? "+" : value < 0 ? "−" : "±") + Math.abs(value).toFixed(2);
  const { test, bounds, clear } = payload;
  const recall = (run) => (value, code) => test ? `${value.toFixed(2)} [${bounds[run][0][code].toFixed(2)}–${bounds[run][1][code].toFixed(2)}]` : value.toFixed(2);
  const columns = [
    { title: "Class", value: (code) => payload.classes[code] },
    ...names.slice(1).map((name, place) => ({ title: names.length > 2 ? `Δ ${name}` : "Difference", number: true, value: difference(place + 1), text: signed, faint: (code) => !test || !clear[place + 1][code] })),
    ...names.map((name, run) => ({ title: name, number: true, value: (code) => recalls[run][code], text: recall(run) })),
    ...(test ? [{ title: "Test samples", number: true, value: (code) => test[code], text: grouped }] : []),
    { title: "Training samples", number: true, value: (code) => payload.training[code], text: grouped },
    { title: "Group", value: (code) => payload.groups[code] },
  ];
  const rows = payload.classes.map((_, code) => code);
  makeTable(document.getElementById("recalls"), columns, rows, (code) => payload.classes[code], { column: 1, descending: true });
  document.documentElement.dataset.ready = "yes";
})();
