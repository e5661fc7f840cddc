// The plots of the overview. Their colours come from the style sheet, so they are drawn again when the theme changes.

import { element, fill } from "./dom.js";
import { colour } from "./theme.js";

export const CONFIG = { responsive: true, displayModeBar: false, doubleClick: false };

export function layout(height, xTitle, yTitle, more = {}) {
  const axis = (title) => ({ ...(title ? { title: { text: title, standoff: 8 } } : {}), automargin: true, zeroline: false, fixedrange: true, gridcolor: colour("line"), linecolor: colour("line") });
  return {
    template: "none", height, autosize: true, margin: { l: 10, r: 14, t: 26, b: 10 },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "inherit", size: 12, color: colour("ink") },
    hoverlabel: { bgcolor: colour("panel"), bordercolor: colour("quiet"), font: { color: colour("ink") } },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
    xaxis: axis(xTitle), yaxis: axis(yTitle), ...more,
  };
}

export function draw(target, traces, figureLayout) {
  if (!target.classList.contains("js-plotly-plot")) fill(target);
  return Plotly.react(target, traces, figureLayout, CONFIG);
}

export function empty(target, text) {
  Plotly.purge(target);
  fill(target, element("p", { class: "empty" }, text));
}

// Sessions are joined in one line with gaps between them.
function line(history, value, name, colourName, dash = "solid") {
  const trace = { x: [], y: [], name, mode: "lines", type: "scatter", line: { color: colour(colourName), width: 2, dash }, connectgaps: false };
  for (const points of history) {
    for (const point of points) {
      trace.x.push(new Date(1000 * point.epoch_s));
      trace.y.push(value(point));
    }
    trace.x.push(null);
    trace.y.push(null);
  }
  if (trace.x.length < 4) Object.assign(trace, { mode: "lines+markers" });
  return trace;
}

function over(target, history, height, yTitle, traces) {
  if (!history.length) {
    empty(target, "No samples over time yet. They are taken every few seconds while a search runs; a run of an older version has none.");
    return;
  }
  const figure = layout(height, "", yTitle, { showlegend: traces.length > 1, hovermode: "x unified" });
  figure.yaxis.rangemode = "tozero";
  draw(target, traces, figure);
}

export function drawRate(target, history) {
  over(target, history, 260, "paths per second", [
    { ...line(history, (point) => point.searched_per_s, "searched", "accent"), hovertemplate: "%{y:.1f}/s" },
    { ...line(history, (point) => point.evaluated_per_s, "evaluated", "found", "dot"), hovertemplate: "%{y:.1f}/s" },
  ]);
}

export function drawDevice(target, history) {
  over(target, history, 260, "paths per device-hour", [
    { ...line(history, (point) => point.searched_per_device_hour, "paths per device-hour", "accent"), hovertemplate: "%{y:,.0f}<extra></extra>" },
  ]);
}

export function drawUsed(target, history) {
  const share = (value) => (value === null || value === undefined ? null : 100 * value);
  over(target, history, 260, "%", [
    { ...line(history, (point) => share(point.peak_share), "of a plain product's arithmetic", "accent"), hovertemplate: "%{y:.1f} %" },
    { ...line(history, (point) => share(point.busy_share), "of the time with requests", "found", "dot"), hovertemplate: "%{y:.1f} %" },
  ]);
}

export function drawDone(target, history) {
  over(target, history, 260, "questions", [
    { ...line(history, (point) => point.examples_done, "questions", "good"), hovertemplate: "%{y:,d} questions<extra></extra>" },
  ]);
}

export function drawLengths(target, { lengths, numLayers }) {
  if (!lengths.length) return empty(target, "No right path yet.");
  const figure = layout(260, "layers of the best path", "questions", { showlegend: false, bargap: 0.12 });
  const all = lengths.map(([length]) => length);
  figure.xaxis.range = [Math.min(numLayers, ...all) - 1.6, Math.max(numLayers, ...all) + 1.6];
  Object.assign(figure.xaxis, { tickformat: "d", ...(figure.xaxis.range[1] - figure.xaxis.range[0] < 13 ? { dtick: 1 } : {}) });
  figure.shapes = [{ type: "line", xref: "x", yref: "paper", x0: numLayers, x1: numLayers, y0: 0, y1: 1, line: { color: colour("quiet"), dash: "dash", width: 1.5 } }];
  figure.annotations = [{ x: numLayers, y: 1, xref: "x", yref: "paper", yanchor: "bottom", showarrow: false, text: "plain model", font: { color: colour("quiet"), size: 11 } }];
  const shades = all.map((length) => colour(length < numLayers ? "good" : length > numLayers ? "repeat" : "execute"));
  return draw(target, [{ type: "bar", x: all, y: lengths.map(([, number]) => number), marker: { color: shades }, hovertemplate: "%{x} layers: %{y:,d} questions<extra></extra>" }], figure);
}

const ROWS = [["skipped", "skip"], ["run once", "execute"], ["repeated", "repeat"]];

export function drawLayers(target, uses) {
  const numPaths = uses.length ? uses[0][0] + uses[0][1] + uses[0][2] : 0;
  if (!numPaths) return empty(target, "No such path yet.");
  const layers = uses.map((_, layer) => layer);
  const figure = layout(230, "layer", "", { showlegend: false, margin: { l: 10, r: 10, t: 8, b: 10 } });
  figure.xaxis.showgrid = figure.yaxis.showgrid = false;
  figure.xaxis.tickformat = "d";
  figure.yaxis.autorange = "reversed";
  const narrow = target.clientWidth < 560;
  figure.yaxis.tickvals = [0, 1, 2];
  figure.yaxis.ticktext = [];
  const traces = ROWS.map(([words, colourName], choice) => {
    const shares = uses.map((layer) => (100 * layer[choice]) / numPaths);
    const most = Math.max(...shares);
    const least = choice === 1 ? Math.min(...shares) : 0;
    const [low, high] = [least, most].map((share) => (share > 0 && share < 10 ? share.toFixed(1) : String(Math.round(share))));
    const range = low === high ? `${low} %` : `${low}–${high} %`;
    figure.yaxis.ticktext.push(narrow ? `${words}<br>${range}` : `${words}, ${range}`);
    return {
      type: "heatmap", x: layers, y: [choice], z: [shares], zmin: choice === 1 ? Math.min(least, most - 1) : 0, zmax: Math.max(most, 0.001), showscale: false, xgap: 2, ygap: 4,
      colorscale: [[0, colour("chip")], [1, colour(colourName)]],
      customdata: [uses.map((layer) => layer[choice])],
      hovertemplate: `layer %{x}: ${words} by %{z:.1f} % (%{customdata:,d} of ${numPaths.toLocaleString("en")} paths)<extra></extra>`,
    };
  });
  return draw(target, traces, figure);
}
