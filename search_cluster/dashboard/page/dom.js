// Makes elements. Texts become text nodes, never markup, so that a hostile question stays a text.

export const byId = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "class") made.className = value;
    else if (key === "onclick") made.addEventListener("click", value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined) made.append(child);
  }
  return made;
}

export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export function fill(target, ...children) {
  target.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined));
}

// Rows of [name, value]; those without a value are left out.
export function factRows(target, facts) {
  fill(target, facts.filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([name, value]) => element("tr", {}, element("td", {}, name), element("td", {}, value))));
}

export function show(target, text) {
  target.hidden = !text;
  target.textContent = text || "";
}

// Calls `draw` only if `value` differs from the last one under this name, so that an idle page keeps still.
const drawn = new Map();
export function whenChanged(name, value, draw) {
  const now = JSON.stringify(value);
  if (drawn.get(name) === now) return;
  drawn.set(name, now);
  draw(value);
}
export const forget = (prefix) => {
  for (const name of [...drawn.keys()]) if (name.startsWith(prefix)) drawn.delete(name);
};
