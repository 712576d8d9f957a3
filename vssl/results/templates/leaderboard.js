"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const rows = [...document.querySelectorAll(".board tbody tr")];

// search: a row is shown if it has every word
document.getElementById("search").addEventListener("input", event => {
  const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of rows) row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word));
  const left = rows.filter(row => !row.hidden).length;
  document.getElementById("shown").textContent = words.length ? `${left} of ${rows.length} rows` : "";
});

// sort: numbers as numbers, what is missing last
function value(row, place) {
  const text = row.children[place].dataset.value;
  return text === "" || text === "None" ? null : isNaN(text) ? text.toLowerCase() : Number(text);
}
for (const heading of document.querySelectorAll("th[data-sort]")) {
  heading.tabIndex = 0;
  const sort = () => {
    const place = heading.cellIndex, body = heading.closest("table").tBodies[0];
    const down = heading.ariaSort === "ascending" ? -1 : 1;
    for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
    heading.ariaSort = down === 1 ? "ascending" : "descending";
    const order = (one, other) => {
      const a = value(one, place), b = value(other, place);
      if (a === null || b === null) return (a === null) - (b === null);
      return down * (a < b ? -1 : a > b ? 1 : 0);
    };
    body.append(...[...body.rows].sort(order));
  };
  heading.addEventListener("click", sort);
  heading.addEventListener("keydown", event => event.key === "Enter" && sort());
}

// compare two
const pair = document.getElementById("pair");
let chosen = [];
for (const box of document.querySelectorAll("input[data-row]")) {
  box.addEventListener("change", () => {
    chosen = chosen.filter(other => other !== box);
    if (box.checked) chosen.push(box);
    if (chosen.length > 2) chosen.shift().checked = false;
    show();
  });
}

function element(tag, ...children) {
  const made = document.createElement(tag);
  made.append(...children);
  return made;
}

function table(header, lines) {
  const made = element("table", element("tr", ...header.map(cell => element("th", cell))));
  made.append(...lines.map(line => element("tr", ...line.map(cell => element("td", cell)))));
  return made;
}

function number(x, digits, signed = false) {
  const text = x.toFixed(digits), zero = Number(text) === 0;
  const sign = zero ? "" : x < 0 ? "−" : signed ? "+" : "";
  return sign + text.replace("-", "");
}

const mean = values => values.reduce((sum, x) => sum + x, 0) / values.length;

// the paired difference over the seeds that both have, with Student's 95 % interval
function difference(ours, theirs, digits) {
  const seeds = Object.keys(ours).filter(seed => seed in theirs), n = seeds.length;
  if (n === 0) return "no shared seed";
  const values = seeds.map(seed => ours[seed] - theirs[seed]), middle = mean(values);
  if (n === 1) return `${number(middle, digits, true)} (one seed, no interval)`;
  const spread = Math.sqrt(values.reduce((sum, x) => sum + (x - middle) ** 2, 0) / (n - 1));
  const half = data.quantiles[n - 2] * spread / Math.sqrt(n);
  const few = n < 3 ? ", too few to tell" : "";
  return `${number(middle, digits, true)} [${number(middle - half, digits)}, ${number(middle + half, digits)}] (n = ${n}${few})`;
}

function show() {
  pair.hidden = chosen.length < 2;
  if (pair.hidden) return;
  const [[place, one], [other, two]] = chosen.map(box => box.dataset.row.split(":"));
  const [a, b] = [data.groups[one], data.groups[two]];
  const title = element("h3", `${a.name} − ${b.name}`);
  if (place !== other) {
    return pair.replaceChildren(title, element("p", "Rows of two tables have other protocols or other costs: not compared."));
  }
  const scores = data.columns[place].map((column, at) => {
    const [ours, theirs] = [one, two].map(key => data.scores[`${place}:${key}`][at]);
    const means = [ours, theirs].map(v => Object.keys(v).length ? number(mean(Object.values(v)), column.digits) : "–");
    const unit = column.unit ? ` (${column.unit})` : "";
    return [`${column.probe} ${column.title}${unit}`, ...means, difference(ours, theirs, column.digits)];
  });
  const keys = [...new Set([...Object.keys(a.settings), ...Object.keys(b.settings)])];
  const plain = x => x === undefined || x === null ? "–" : typeof x === "string" ? x : JSON.stringify(x);
  const changed = keys.map(key => [key, plain(a.settings[key]), plain(b.settings[key])]).filter(([, x, y]) => x !== y);
  const count = `settings that differ: ${changed.length}`;
  pair.replaceChildren(
    title,
    table(["score", a.name, b.name, "paired difference, 95 % interval"], scores),
    element("details", element("summary", count), table(["setting", a.name, b.name], changed)),
  );
}
