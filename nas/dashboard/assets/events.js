// What the user did, in order. Dash drops the answer to a request when the same callback is asked
// again; this list is kept by the page, so whatever was overtaken is still in it for the next.
(function () {
  "use strict";
  const LONGEST = 50;
  const events = [];
  let count = 0;

  function isNews(entry) {
    if (entry.value === null || entry.value === undefined) return false; // a part was only made
    // Plotly also tells that it measured its own size.
    return !entry.prop_id.endsWith(".relayoutData")
      || Object.keys(entry.value).some((key) => key.includes("axis"));
  }

  function happened() {
    const news = dash_clientside.callback_context.triggered.filter(isNews);
    if (!news.length) return dash_clientside.no_update;
    for (const entry of news) {
      const dot = entry.prop_id.lastIndexOf(".");
      const id = entry.prop_id.slice(0, dot);
      const prop = entry.prop_id.slice(dot + 1);
      count += 1;
      events.push({ n: count, id: id, prop: prop, value: entry.value });
    }
    events.splice(0, events.length - LONGEST);
    return events.slice();
  }

  // The button of the chosen architecture; drawing the table again would take the focus away.
  function marked(selection, _, ids) {
    const point = selection ? selection.point : "";
    return ids.map((id) => (id.place === point ? "link chosen" : "link"));
  }

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    formfinder: { happened: happened, marked: marked },
  });
})();
