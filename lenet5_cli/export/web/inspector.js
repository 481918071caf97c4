// One output of one layer, computed step by step with its numbers.

const LIGHT = 140; // of 255: on a lighter colour, numbers are dark
const TERMS_A_ROW = 5; // of a fully connected layer's long sum
const TERMS_A_GRID = 30;
const PLAY_TIME = 12000; // milliseconds, about, for all terms of a sum
const SLOWEST = 450; // milliseconds a term
const FASTEST = 30;

/** Make an element: its attributes and properties, then its children; texts become text nodes, never markup. */
function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** Write a text into an element, unless it is there already: the page is not laid out again for nothing. */
function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Return a number with few digits and a true minus sign. */
function shown(value, digits = 2) {
  const size = Math.abs(value);
  const text = size.toFixed(size >= 1000 ? 0 : size >= 100 ? Math.min(1, digits) : digits);
  return value < 0 && Number(text) !== 0 ? `\u2212${text}` : text;
}

/** Return indices [0, count). */
function range(count) {
  return Array.from({ length: count }, (_, index) => index);
}

// One function a kind of layer: the sum behind output (k, i, j), as groups of terms x w, each a grid of rows x columns,
// with the place in the layer below that x is read from; then what becomes of the sum.
const SUMMED = {
  conv(layer, k, i, j) {
    const [maps, height, width] = layer.input_shape;
    const { size, connections } = layer;
    const read = range(maps).filter((c) => !connections || connections[k][c]);
    const groups = read.map((c) => ({
      label: maps === 1 ? "input" : `map ${c}`,
      columns: size,
      x: range(size * size).map((at) => (c * height + i + Math.floor(at / size)) * width + j + (at % size)),
      w: range(size * size).map((at) => layer.weight[(k * maps + c) * size * size + at]),
      window: { map: c, top: i, left: j, height: size, width: size },
    }));
    return { groups, heads: ["window", "kernel", "window × kernel"], bias: layer.bias[k] };
  },

  subsampling(layer, k, i, j) {
    const [, height, width] = layer.input_shape;
    const { size } = layer;
    const group = {
      label: `map ${k}`,
      columns: size,
      x: range(size * size).map(
        (at) => (k * height + size * i + Math.floor(at / size)) * width + size * j + (at % size),
      ),
      window: { map: k, top: size * i, left: size * j, height: size, width: size },
    };
    return { groups: [group], heads: ["window"], factor: layer.weight[k], bias: layer.bias[k] };
  },

  dense(layer, k) {
    const units = layer.bias.length;
    const count = layer.weight.length / units;
    const [, height = 1, width = 1] = layer.input_shape;
    const groups = range(Math.ceil(count / TERMS_A_GRID)).map((part) => {
      const first = part * TERMS_A_GRID;
      const x = range(Math.min(TERMS_A_GRID, count - first)).map((at) => first + at);
      const w = x.map((c) => layer.weight[c * units + k]);
      const window = { map: Math.floor(first / (height * width)), count: Math.ceil(x.length / (height * width)) };
      return { label: `units ${first} to ${first + x.length - 1}`, columns: TERMS_A_ROW, x, w, window };
    });
    return { groups, heads: ["units", "weights", "unit × weight"], bias: layer.bias[k] };
  },

  rbf(layer, k, glyph) {
    const x = range(layer.input_shape[0]);
    const w = x.map((c) => layer.codes[k * x.length + c]);
    const group = { label: "all units", columns: glyph, x, w, window: { map: 0, count: x.length } };
    return { groups: [group], heads: ["f6", "glyph", "(f6 \u2212 glyph)²"], squared: true };
  },
};

/** A table of numbers on their colours. */
class Grid {
  constructor(caption, count, columns) {
    this.cells = range(count).map(() => element("td"));
    const rows = range(Math.ceil(count / columns));
    const body = rows.map((row) => element("tr", {}, ...this.cells.slice(row * columns, (row + 1) * columns)));
    this.table = element(
      "table",
      { className: "grid" },
      element("caption", {}, caption),
      element("tbody", {}, ...body),
    );
  }

  /** Show values; those from `done` on as still to come, the one before it as the latest. */
  show(values, colour, done) {
    this.cells.forEach((cell, at) => {
      const [red, green, blue] = colour(values[at]);
      write(cell, shown(values[at]));
      cell.style.backgroundColor = `rgb(${red} ${green} ${blue})`;
      cell.style.color = 0.3 * red + 0.59 * green + 0.11 * blue > LIGHT ? "#10131a" : "#ffffff";
      cell.classList.toggle("ahead", at >= done);
      cell.classList.toggle("latest", at === done - 1);
    });
  }
}

class Inspector {
  /** Take the panel, the network, a function that gives a layer's colours, and one to call when all must be redrawn. */
  constructor(panel, network, glyphColumns, colours, changed) {
    Object.assign(this, { panel, network, glyphColumns, colours, changed });
    this.title = element("h2", { id: "inspector-title" });
    this.formula = element("p", { className: "formula" });
    this.tabs = element("div", { className: "tabs", role: "group", "aria-label": "Terms of the sum" });
    this.grids = element("div", { className: "grids" });
    this.play = element("button", { type: "button", className: "play", onclick: () => this.toggle() }, "Play");
    this.slider = element("input", { type: "range", min: 0, "aria-label": "Terms summed", oninput: () => this.seek() });
    this.back = element(
      "button",
      { type: "button", "aria-label": "One step back", onclick: () => this.move(-1) },
      "\u2039",
    );
    this.next = element(
      "button",
      { type: "button", "aria-label": "One step forward", onclick: () => this.move(1) },
      "\u203a",
    );
    this.term = element("p", { className: "term" });
    this.ledger = element("dl", { className: "ledger" });
    const steps = element("div", { className: "steps" }, this.play, this.back, this.slider, this.next);
    panel.append(this.title, this.formula, steps, this.term, this.grids, this.tabs, this.ledger);
  }

  /** Inspect output (k, i, j) of the layer of this index. */
  select(index, k, i, j) {
    this.stop();
    this.index = index;
    this.layer = this.network.layers[index];
    this.place = { k, i, j };
    this.sum = SUMMED[this.layer.kind](this.layer, k, this.layer.kind === "rbf" ? this.glyphColumns : i, j);
    this.total = this.sum.groups.reduce((count, { x }) => count + x.length, 0);
    this.step = this.total;
    this.slider.max = this.total;
    this.group = 0;
    this.describe();
    this.arrange();
    this.changed();
  }

  describe() {
    const { layer, place } = this;
    const plane = layer.output_shape.length === 3 && layer.output_shape[1] * layer.output_shape[2] > 1;
    const where =
      layer.kind === "rbf"
        ? `glyph ${layer.names[place.k]}`
        : plane
          ? `map ${place.k}, row ${place.i}, column ${place.j}`
          : `unit ${place.k}`;
    this.title.textContent = `${layer.name} · ${where}`;
    const f = layer.activation;
    this.formula.textContent = {
      conv: `y = ${f}(Σ window × kernel + bias)`,
      subsampling: `y = ${f}(weight × Σ window + bias)`,
      dense: `y = ${f}(Σ unit × weight + bias)`,
      rbf: "distance = Σ (f6 \u2212 glyph)²",
    }[layer.kind];
  }

  /** Make the tabs, a group of terms each, and the tables of the chosen group. */
  arrange() {
    const { groups, heads } = this.sum;
    this.sums = groups.map(() => element("span", { className: "number" }));
    const tabs = groups.map(({ label }, at) =>
      element("button", { type: "button", onclick: () => this.choose(at) }, label, this.sums[at]),
    );
    this.tabs.replaceChildren(...(groups.length > 1 ? tabs : []));
    const { x, columns } = groups[this.group];
    this.tables = heads.map((head) => new Grid(head, x.length, columns));
    this.grids.replaceChildren(...this.tables.map(({ table }) => table));
    this.grids.classList.toggle("wide", columns > TERMS_A_ROW);
  }

  choose(group) {
    this.group = group;
    this.arrange();
    this.changed();
  }

  toggle() {
    if (this.timer) {
      this.stop();
      return;
    }
    if (this.step === this.total) this.step = 0;
    const pause = Math.min(SLOWEST, Math.max(FASTEST, PLAY_TIME / this.total));
    this.timer = setInterval(() => (this.step < this.total ? this.go(this.step + 1) : this.stop()), pause);
    this.play.textContent = "Pause";
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    this.play.textContent = "Play";
  }

  seek() {
    this.stop();
    this.go(Number(this.slider.value));
  }

  move(by) {
    this.stop();
    this.go(Math.min(this.total, Math.max(0, this.step + by)));
  }

  /** Have the first `step` terms summed, and show the group of the latest. */
  go(step) {
    this.step = step;
    let left = Math.max(0, step - 1);
    const group = this.sum.groups.findIndex(({ x }) => (left -= x.length) < 0);
    if (group !== this.group) {
      this.group = group;
      this.arrange();
    }
    this.changed();
  }

  /** Show the numbers of the present picture. */
  update(outputs) {
    if (!this.sum) return;
    const x = outputs[this.index];
    const { groups, squared } = this.sum;
    const product = (value, w) => (w === undefined ? value : squared ? (value - w) ** 2 : value * w);
    let [start, sum] = [0, 0];
    groups.forEach((group, at) => {
      const values = group.x.map((place) => x[place]);
      const products = values.map((value, term) => product(value, group.w?.[term]));
      const done = Math.min(values.length, Math.max(0, this.step - start));
      const partial = products.slice(0, done).reduce((a, b) => a + b, 0);
      sum += partial;
      write(this.sums[at], shown(partial));
      if (at === this.group) this.showGroup(values, products, done);
      start += values.length;
    });
    this.slider.value = this.step;
    [...this.tabs.children].forEach((tab, at) => tab.setAttribute("aria-pressed", at === this.group));
    this.showLedger(sum, outputs[this.index + 1]);
  }

  showGroup(values, products, done) {
    const { w } = this.sum.groups[this.group];
    const complete = this.step === this.total;
    const { value: ofX, weight: ofW, product: ofProduct } = this.colours(this.index, w, products, this.sum.squared);
    [values, w, products].forEach((numbers, at) => {
      this.tables[at]?.show(numbers ?? [], [ofX, ofW, ofProduct][at], complete ? Infinity : done);
    });
    const [value, weight] = [values[done - 1], w?.[done - 1]];
    const sign = this.sum.squared
      ? `(${shown(value ?? 0)} \u2212 ${shown(weight ?? 0)})²`
      : `${shown(value ?? 0)} × ${shown(weight ?? 0)}`;
    const latest = done ? `: ${w ? `${sign} = ` : ""}${shown(products[done - 1], 3)}` : "";
    write(this.term, complete ? `All ${this.total} terms are summed.` : `Term ${this.step} of ${this.total}${latest}`);
  }

  showLedger(sum, outputs) {
    const { factor, bias, squared } = this.sum;
    const { layer, place } = this;
    const complete = this.step === this.total;
    const [, rows = 1, columns = 1] = layer.output_shape;
    const y = outputs[(place.k * rows + place.i) * columns + place.j];
    const z = (factor ?? 1) * sum + (bias ?? 0);
    const lines = [[complete ? "sum" : "sum so far", shown(sum, 3)]];
    if (factor !== undefined) lines.push(["× weight", shown(factor, 3)]);
    if (bias !== undefined) lines.push(["+ bias", shown(bias, 3)]);
    if (!squared)
      lines.push(["z", complete ? shown(z, 3) : "…"], [`y = ${layer.activation}(z)`, complete ? shown(y, 3) : "…"]);
    else lines.push(["distance", complete ? shown(-y, 3) : "…"]);
    if (this.ledger.children.length !== 2 * lines.length) {
      this.ledger.replaceChildren(...lines.flatMap(() => [element("dt"), element("dd")]));
    }
    lines.flat().forEach((text, at) => write(this.ledger.children[at], text));
  }

  /** Return where the chosen group reads in the layer below, and whether in which other maps too. */
  windows() {
    return this.sum ? this.sum.groups.map(({ window }, at) => ({ ...window, strong: at === this.group })) : [];
  }
}
