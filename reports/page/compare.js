"use strict";

(async () => {
  await Promise.all(Object.keys(payload.figures).map(drawFigure));
  const { names, scores, titles, test, bounds, clear } = payload;
  const difference = (run) => (code) => {
    const [own, first] = [scores[run][code], scores[0][code]];
    return own === null || first === null ? null : own - first;
  };
  const signed = (value) => (value > 0 ? "+" : value < 0 ? "−" : "±") + Math.abs(value).toFixed(2);
  const score = (run) => (value, code) => {
    const [low, high] = test ? bounds[run].map((bound) => bound[code]) : [null, null];
    return low === null ? value.toFixed(2) : `${value.toFixed(2)} [${low.toFixed(2)}–${high.toFixed(2)}]`;
  };
  const columns = [
    { title: titles.class, value: (code) => payload.classes[code] },
    ...names.slice(1).map((name, place) => ({ title: names.length > 2 ? `Δ ${name}` : "Difference", number: true, value: difference(place + 1), text: signed, faint: (code) => !test || !clear[place + 1][code] })),
    ...names.map((name, run) => ({ title: name, number: true, value: (code) => scores[run][code], text: score(run) })),
    ...(test ? [{ title: titles.test, number: true, value: (code) => test[code], text: grouped }] : []),
    { title: titles.training, number: true, value: (code) => payload.training[code], text: grouped },
    { title: "Group", value: (code) => payload.groups[code] },
  ];
  const rows = payload.classes.map((_, code) => code);
  makeTable(document.querySelector(".tall"), columns, rows, (code) => payload.classes[code], { column: 1, descending: true });
  document.documentElement.dataset.ready = "yes";
})();
