// Figures that come from the server as the report has them, each with buttons for the ways to look at it.
// The style sheet colours their texts and lines.

import { CONFIG } from "./charts.js";
import { byId, element, fill } from "./dom.js";

const MAX_SIDE_PX = 640;
const chosenViews = new Map();

// Draws a figure into the elements whose ids begin with `id`; without one their section is hidden.
export function drawFigure(id, figure) {
  byId(`${id}-section`).hidden = figure === null;
  if (figure === null) return;
  const target = byId(id);
  byId(`${id}-title`).textContent = figure.title;
  byId(`${id}-caption`).textContent = figure.caption;
  const { views = [], square = false } = figure.layout.meta ?? {};
  if (square) figure.layout.height = Math.min(target.clientWidth, MAX_SIDE_PX) + 90;
  const chosen = views.find((view) => view.label === chosenViews.get(id)) ?? views[0];
  Plotly.react(target, figure.data, figure.layout, CONFIG);
  if (chosen && chosen !== views[0]) Plotly.update(target, { visible: chosen.visible }, chosen.layout);
  showScale(id, chosen);
  fill(byId(`${id}-views`), views.length < 2 ? [] : views.map((view) => {
    const button = element("button", { type: "button", "aria-pressed": String(view === chosen) }, view.label);
    button.addEventListener("click", () => {
      chosenViews.set(id, view.label);
      for (const other of byId(`${id}-views`).children) other.ariaPressed = String(other === button);
      Plotly.update(target, { visible: view.visible }, view.layout);
      showScale(id, view);
    });
    return button;
  }));
}

function showScale(id, view) {
  if (!view || view.limit === null) return;
  const limit = view.limit.toFixed(view.limit < 10 ? 1 : 0);
  fill(byId(`${id}-scale`), element("span", {}, `−${limit} and below`), element("i"), element("span", {}, `+${limit} ${view.unit}`));
}
