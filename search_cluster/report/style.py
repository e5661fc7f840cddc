"""The style sheet of the report: light and dark, laptop and phone, no fetched font."""

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --panel: #ffffff; --ink: #1d2430; --quiet: #5a6575;
  --line: #dde2ea; --accent: #2f6bc4; --good: #1f7a54; --bad: #b04a2f; --edge: #bcc5d2;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12151b; --panel: #1a1f28; --ink: #e4e8ef; --quiet: #9aa5b5;
    --line: #2e3644; --accent: #7fb0f5; --good: #63c99a; --bad: #ef9577; --edge: #4a5567;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
main { max-width: 1080px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 0 0 4px; overflow-wrap: anywhere; }
section {
  background: var(--panel); border: 1px solid var(--line); border-radius: 10px;
  padding: 16px 18px; margin: 16px 0;
}
.plots {
  display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 16px; margin: 16px 0;
}
.plots section { margin: 0; min-width: 0; }
.plots section.wide { grid-column: 1 / -1; }
.quiet { color: var(--quiet); }
.caption { margin: 0 0 8px; font-size: 0.88rem; }
.cards {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px;
  margin: 16px 0;
}
.card {
  background: var(--panel); border: 1px solid var(--line); border-radius: 10px; padding: 12px 14px;
}
.card b { display: block; font-size: 1.45rem; line-height: 1.2; }
.card span { font-size: 0.85rem; color: var(--quiet); }
.helps { border-left: 4px solid var(--good); padding-left: 12px; }
.fails { border-left: 4px solid var(--bad); padding-left: 12px; }
.scroll { overflow-x: auto; }
.scroll.more {
  background:
    linear-gradient(to right, var(--panel) 30%, transparent) 0 0 / 40px 100%,
    linear-gradient(to left, var(--panel) 30%, transparent) 100% 0 / 40px 100%,
    linear-gradient(to right, var(--edge), transparent) 0 0 / 12px 100%,
    linear-gradient(to left, var(--edge), transparent) 100% 0 / 12px 100%;
  background-repeat: no-repeat; background-attachment: local, local, scroll, scroll;
}
.scroll.more::before {
  content: "scrolls sideways \\2192"; position: sticky; left: 0; display: block; width: max-content;
  color: var(--quiet); font-size: 0.8rem;
}
.tall { max-height: 34rem; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
th, td {
  text-align: left; vertical-align: top; padding: 6px 10px 6px 0;
  border-bottom: 1px solid var(--line);
}
th { font-weight: 600; color: var(--quiet); }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
th.number { white-space: normal; vertical-align: bottom; }
table.headline td:first-child { min-width: 7rem; }
td.text { overflow-wrap: anywhere; white-space: pre-wrap; }
table.examples { min-width: 760px; }
table.examples thead th { position: sticky; top: 0; background: var(--panel); }
table.facts td:first-child { color: var(--quiet); width: 40%; }
table.facts td:last-child { overflow-wrap: anywhere; }
code {
  font: 0.85em ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  overflow-wrap: anywhere;
}
.right { color: var(--good); }
.wrong { color: var(--bad); }
.right::after { content: " \\2713"; }
.wrong::after { content: " \\2717"; }
.plot text { fill: var(--ink) !important; }
.cells { overflow-x: auto; }
.cells .plot { min-width: 52rem; }
.cells .plot .heatmap-label text { fill: #16202c !important; }
.plot .gridlayer path { stroke: var(--line) !important; }
.plot .errorbar path { stroke: var(--ink) !important; }
.plot .hovertext path { fill: var(--panel) !important; stroke: var(--line) !important; }
.views { display: flex; flex-wrap: wrap; gap: 6px; margin: 4px 0 8px; }
.views button {
  font: inherit; font-size: 0.85rem; color: var(--ink); background: var(--panel);
  border: 1px solid var(--line); border-radius: 999px; padding: 3px 12px; cursor: pointer;
}
.views button[aria-pressed="true"] { border-color: var(--accent); color: var(--accent); }
.views button:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
.scale { display: flex; align-items: center; gap: 8px; font-size: 0.85rem; color: var(--quiet); }
.scale i {
  flex: 0 1 220px; height: 10px; border-radius: 3px;
  background: linear-gradient(to right, #d9762b, rgba(127, 137, 155, 0.2), #2f78d0);
}
.map .scatterlayer .js-line, .map .legendlines .js-line, .map .shapelayer path {
  stroke: var(--ink) !important;
}
.verdict { font-size: 1.15rem; line-height: 1.4; font-weight: 600; margin: 0 0 10px; }
dl.screen { display: grid; grid-template-columns: 9.5rem minmax(0, 1fr); gap: 8px 14px; margin: 0; }
dl.screen dt { color: var(--quiet); font-weight: 600; }
dl.screen dd { margin: 0; overflow-wrap: anywhere; }
dl.screen .fails { border-left: 4px solid var(--bad); padding-left: 10px; }
.chip {
  display: inline-block; font-size: 0.8rem; font-weight: 600; border-radius: 999px;
  padding: 1px 10px; border: 1px solid var(--good); color: var(--good); vertical-align: 2px;
}
.saves { display: flex; flex-wrap: wrap; gap: 2px 18px; margin: 2px 0 8px; }
table.standings td { padding-top: 7px; padding-bottom: 7px; }
table.standings { table-layout: fixed; }
table.standings th:nth-child(1) { width: 36%; }
table.standings th:nth-child(3) { width: 9%; }
table.standings th:nth-child(5) { width: 20%; }
table.standings th:nth-child(6) { width: 9%; }
table.standings th.group { padding-top: 16px; width: auto; }
table.standings .quiet { font-size: 0.82rem; }
svg.whisker { display: block; width: 100%; height: 20px; color: var(--quiet); }
svg.whisker line { stroke: currentColor; vector-effect: non-scaling-stroke; stroke-width: 2; }
svg.whisker line.zero { stroke: var(--line); }
svg.whisker line.gain { stroke-width: 5; }
svg.whisker.right { color: var(--good); }
svg.whisker.wrong { color: var(--bad); }
svg.whisker.right::after, svg.whisker.wrong::after { content: none; }
@media (max-width: 760px) {
  .extra { display: none; }
  table.headline td.edits { min-width: 8rem; }
  dl.screen { grid-template-columns: minmax(0, 1fr); gap: 2px; }
  dl.screen dd { margin-bottom: 10px; }
  table.standings thead { display: none; }
  table.standings tr {
    display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 0 10px;
    padding: 8px 0; border-bottom: 1px solid var(--line);
  }
  table.standings td { border: 0; padding: 1px 0; text-align: left; }
  table.standings td:first-child, table.standings td.picture, table.standings th.group {
    grid-column: 1 / -1; width: auto;
  }
  table.standings td:empty { display: none; }
  table.standings td[data-label]::before { content: attr(data-label) " "; color: var(--quiet); }
  main { padding: 16px 12px 40px; }
  .plots { grid-template-columns: minmax(0, 1fr); }
  section { padding: 14px 12px; }
  .cards { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  h1 { font-size: 1.3rem; }
  .number { white-space: normal; }
  table.examples { min-width: 0; }
  table.examples thead { display: none; }
  table.examples tr { display: block; padding: 8px 0; border-bottom: 1px solid var(--line); }
  table.examples td { display: block; border: 0; padding: 2px 0; }
  table.examples td[data-label]::before { content: attr(data-label) ": "; color: var(--quiet); }
}
"""
