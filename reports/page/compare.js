"use strict";

(async () => {
  await Promise.all(Object.keys(payload.figures).map(drawFigure));
  const { names, recalls } = payload;
  const difference = (run) => (code) => {
    const [own, first] = [recalls[run][code], recalls[0][code]];
    return own === null || first === null ? null : own - first;
  };
  const signed = (value) => (value > 0 ? "+" : value < 0 ? "−" : "±") + Math.abs(value).toFixed(2);
  const columns = [
    { title: "Class", value: (code) => payload.classes[code] },
    { title: "Group", value: (code) => payload.groups[code] },
    { title: "Training samples", number: true, value: (code) => payload.training[code], text: grouped },
    ...names.map((name, run) => ({ title: name, number: true, value: (code) => recalls[run][code], text: decimals(2) })),
    ...names.slice(1).map((name, place) => ({ title: `Δ ${name}`, number: true, value: difference(place + 1), text: signed })),
  ];
  const rows = payload.classes.map((_, code) => code);
  makeTable(document.getElementById("recalls"), columns, rows, (code) => payload.classes[code], { column: 3 + names.length, descending: true });
  document.documentElement.dataset.ready = "yes";
})();
