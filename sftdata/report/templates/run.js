// Of runs: tables that sort, figures that tell the value under the pointer, and one evaluation at a time.
const number = (text) => {
  const plain = text.replace(/[,%\s]/g, "");
  return plain === "" || Number.isNaN(Number(plain)) ? null : Number(plain);
};
const compare = (a, b) => {
  const [x, y] = [number(a), number(b)];
  if (x !== null && y !== null) return x - y;
  if (x !== null || y !== null) return x === null ? -1 : 1;
  return a.localeCompare(b);
};
for (const table of document.querySelectorAll("table[data-sorts]")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const sort = (place, head) => {
    const before = head.getAttribute("aria-sort");
    const falling = before ? before === "ascending" : head.classList.contains("n");
    const rows = [...body.rows].map((row) => [row.cells[place].textContent.trim(), row]);
    rows.sort(([a], [b]) => (falling ? compare(b, a) : compare(a, b)));
    body.append(...rows.map(([, row]) => row));
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
  };
  heads.forEach((head, place) => {
    if (head.dataset.still !== undefined) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(place, head));
    head.append(button);
  });
}

const choosers = [...document.querySelectorAll("select[data-chooses]")];
const choose = (wanted) => {
  for (const chooser of choosers) chooser.value = wanted;
  for (const part of document.querySelectorAll("[data-evaluation]")) part.hidden = part.dataset.evaluation !== wanted;
};
for (const chooser of choosers) chooser.addEventListener("change", () => choose(chooser.value));
if (choosers.length) {
  choose("0");
  for (const title of document.querySelectorAll("[data-named]")) title.hidden = true;
}

for (const order of document.querySelectorAll("select[data-orders]")) {
  const list = document.getElementById(order.dataset.orders);
  order.addEventListener("change", () => {
    list.append(...[...list.children].sort((a, b) => Number(b.dataset[order.value]) - Number(a.dataset[order.value])));
  });
}

for (const figure of document.querySelectorAll("figure.curve")) {
  const chart = figure.querySelector(".chart");
  const read = figure.querySelector(".read");
  const said = read.textContent;
  const lines = [...chart.querySelectorAll("path[data-steps]")].map((path) => ({
    name: path.dataset.name,
    steps: path.dataset.steps.split(" ").map(Number),
    values: path.dataset.values.split(" "),
  }));
  const cursor = document.createElementNS("http://www.w3.org/2000/svg", "line");
  for (const [name, value] of [["class", "cursor"], ["y1", "0"], ["y2", "100%"], ["visibility", "hidden"]]) cursor.setAttribute(name, value);
  chart.append(cursor);
  const show = (event) => {
    const box = chart.getBoundingClientRect();
    const wanted = Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * Number(figure.dataset.end);
    const nearest = (steps) => steps.reduce((best, step, place) => (Math.abs(step - wanted) < Math.abs(steps[best] - wanted) ? place : best), 0);
    const step = lines[0].steps[nearest(lines[0].steps)];
    const told = lines.map((line) => {
      const place = nearest(line.steps);
      const where = line.steps[place] === step ? "" : ` (step ${line.steps[place].toLocaleString("en")})`;
      return `${lines.length > 1 ? `${line.name} ` : ""}${Number(line.values[place]).toLocaleString("en", { maximumSignificantDigits: 5 })}${where}`;
    });
    read.textContent = `step ${step.toLocaleString("en")}: ${told.join(", ")}`;
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, `${(100 * step) / Number(figure.dataset.end)}%`);
    cursor.setAttribute("visibility", "visible");
  };
  chart.addEventListener("pointermove", show);
  chart.addEventListener("pointerdown", show);
  chart.addEventListener("pointerleave", () => {
    read.textContent = said;
    cursor.setAttribute("visibility", "hidden");
  });
}

for (const matrix of document.querySelectorAll("table.matrix")) {
  const readout = document.getElementById(matrix.dataset.says);
  const said = readout.textContent;
  const names = [...matrix.tHead.rows[0].cells].map((cell) => cell.title);
  let before = null;
  const show = (event) => {
    const cell = event.target.closest("td");
    before?.classList.remove("at");
    before = cell;
    if (!cell) return void (readout.textContent = said);
    cell.classList.add("at");
    const head = cell.parentElement.cells[0];
    const [count, rows] = [number(cell.textContent) ?? 0, Number(head.dataset.rows)];
    const share = rows ? `, ${((100 * count) / rows).toFixed(1)}%` : "";
    readout.textContent = `${head.title} → ${names[cell.cellIndex]}: ${count.toLocaleString("en")} of ${rows.toLocaleString("en")}${share}`;
  };
  matrix.addEventListener("pointerover", show);
  matrix.addEventListener("pointerdown", show);
  matrix.addEventListener("pointerleave", () => {
    before?.classList.remove("at");
    readout.textContent = said;
  });
}
