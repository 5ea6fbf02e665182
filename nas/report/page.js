"use strict";
// Draws the figures whose data stand beside them, and sorts tables. Nothing here reads markup
// from data: figures are JSON, cells are compared by their data-value.
(function () {
  const config = { responsive: true, displaylogo: false,
    modeBarButtons: [["zoom2d", "pan2d", "autoScale2d", "resetScale2d", "toImage"]] };
  const drawn = [];
  for (const plot of document.querySelectorAll(".plot")) {
    const figure = JSON.parse(plot.parentElement.querySelector("script").textContent);
    const fixed = figure.layout.dragmode === false;
    drawn.push(Plotly.newPlot(plot, figure.data, figure.layout,
      Object.assign({}, config, { displayModeBar: fixed ? false : "hover" })));
  }
  Promise.all(drawn).then(function () { document.body.dataset.drawn = String(drawn.length); });
  window.addEventListener("beforeprint", function () {
    for (const plot of document.querySelectorAll(".plot")) { Plotly.Plots.resize(plot); }
  });

  function key(row, column) {
    const value = row.cells[column].dataset.value;
    const number = Number(value);
    return value === "" ? null : Number.isNaN(number) || column === 0 ? value : number;
  }
  function sort(table, heading, column) {
    const down = heading.getAttribute("aria-sort") !== "descending";
    const rows = Array.from(table.tBodies[0].rows);
    rows.sort(function (a, b) {
      const x = key(a, column), y = key(b, column);
      if (x === null || y === null) { return (x === null) - (y === null); }
      return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1);
    });
    for (const other of heading.parentElement.cells) {
      if (other.hasAttribute("aria-sort")) { other.setAttribute("aria-sort", "none"); }
    }
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    table.tBodies[0].append(...rows);
  }
  for (const table of document.querySelectorAll("table.sortable")) {
    Array.from(table.tHead.rows[0].cells).forEach(function (heading, column) {
      const button = heading.querySelector("button");
      if (button) { button.addEventListener("click", function () { sort(table, heading, column); }); }
    });
  }
})();
