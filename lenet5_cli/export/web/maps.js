// The maps of a layer, drawn in one canvas; one of their values can be chosen with the pointer or the keyboard.

/** Return the colours of a theme, as the style sheet has them. */
function themeColours() {
  const style = getComputedStyle(document.documentElement);
  const parsed = (name) =>
    style
      .getPropertyValue(name)
      .trim()
      .match(/[0-9a-f]{2}/gi)
      .map((hex) => parseInt(hex, 16));
  const stops = ["--low", "--middle", "--high"].map(parsed);
  const [negative, zero, positive] = ["--negative", "--zero", "--positive"].map(parsed);
  const mix = (a, b, t) => a.map((value, at) => Math.round(value + (b[at] - value) * t));
  return {
    /** The colour of t, from 0, paper, to 1, ink. */
    ink: (t) => (t < 0.5 ? mix(stops[0], stops[1], 2 * t) : mix(stops[1], stops[2], 2 * t - 1)),
    /** The colour of t, from -1 over 0 to 1. */
    signed: (t) => mix(zero, t < 0 ? negative : positive, Math.abs(t)),
    accent: style.getPropertyValue("--accent"),
    window: style.getPropertyValue("--window"),
  };
}

/** Return a number moved into [low, high]. */
function clamped(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

class MapView {
  /** Take a canvas, the shape (maps, rows, columns) of what it shows, its lowest and highest value, what to call. */
  constructor(canvas, { maps, rows, columns, low, high, across, scale }, chosen) {
    Object.assign(this, { canvas, maps, rows, columns, low, high, chosen });
    this.fixed = across; // maps side by side, where this does not depend on the room there is
    // Small maps are enlarged more than large ones: 3 times at 28, 4 at 14, 6 at 5.
    this.scale = scale ?? clamped(Math.round((20 + 2.3 * rows) / rows), 2, rows === 1 ? 11 : 6);
    this.gap = rows === 1 ? 1 : 6;
    this.cursor = { k: 0, i: 0, j: 0 };
    this.pen = canvas.getContext("2d");
    this.strip = new OffscreenCanvas(columns, maps * rows).getContext("2d");
    this.pixels = this.strip.createImageData(columns, maps * rows);
    this.words = new Uint32Array(this.pixels.data.buffer);
    if (chosen) this.listen();
  }

  listen() {
    this.canvas.addEventListener("pointerdown", (event) => {
      const box = this.canvas.getBoundingClientRect();
      const cursor = this.at(event.clientX - box.left, event.clientY - box.top);
      if (cursor) this.choose(cursor);
    });
    this.canvas.addEventListener("keydown", (event) => this.key(event));
  }

  choose(cursor) {
    this.cursor = cursor;
    this.chosen(cursor);
  }

  /** Return the value at a place of the canvas, in CSS pixels, or null between the maps. */
  at(x, y) {
    const { scale, gap, across } = this;
    const [width, height] = [this.columns * scale + gap, this.rows * scale + gap];
    const [column, row] = [Math.floor(x / width), Math.floor(y / height)];
    const k = row * across + column;
    if (column < 0 || column >= across || k < 0 || k >= this.maps) return null;
    const i = clamped(Math.floor((y - row * height) / scale), 0, this.rows - 1);
    const j = clamped(Math.floor((x - column * width) / scale), 0, this.columns - 1);
    return { k, i, j };
  }

  /** Move within a map with the arrows, to other maps with page up and page down; units are a map each. */
  key(event) {
    const { k, i, j } = this.cursor;
    const units = this.rows * this.columns === 1;
    const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[
      event.key
    ] ?? [0, 0];
    const page = { PageUp: -1, PageDown: 1 }[event.key] ?? 0;
    if (!down && !right && !page && event.key !== "Enter") return;
    event.preventDefault();
    const step = units ? down * this.across + right + page : page;
    this.choose({
      k: clamped(k + step, 0, this.maps - 1),
      i: clamped(i + down, 0, this.rows - 1),
      j: clamped(j + right, 0, this.columns - 1),
    });
  }

  /** Arrange the maps in a width, in CSS pixels, in rows of equal length. */
  layout(room) {
    const { scale, gap, maps } = this;
    const fitting = clamped(Math.floor((room + gap) / (this.columns * scale + gap)), 1, maps);
    this.across = this.fixed ?? Math.ceil(maps / Math.ceil(maps / fitting));
    const width = this.across * (this.columns * scale + gap) - gap;
    const height = Math.ceil(maps / this.across) * (this.rows * scale + gap) - gap;
    const ratio = window.devicePixelRatio || 1;
    Object.assign(this.canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    Object.assign(this.canvas.style, { width: `${width}px`, height: `${height}px` });
    this.ratio = ratio;
  }

  theme({ ink, accent, window }) {
    this.accent = accent;
    this.window = window;
    this.colours = Uint32Array.from(range(256), (at) => {
      const [red, green, blue] = ink(at / 255);
      return (255 << 24) | (blue << 16) | (green << 8) | red;
    });
  }

  /** Draw values, the maps in order, then the outlines of some windows, and of the value that is inspected. */
  draw(values, { windows = [], place = null } = {}) {
    const { pen, scale, rows, columns, low } = this;
    const factor = 255 / (this.high - low);
    for (let at = 0; at < this.words.length; at++) {
      this.words[at] = this.colours[clamped(Math.round((values[at] - low) * factor), 0, 255)];
    }
    this.strip.putImageData(this.pixels, 0, 0);
    pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    pen.imageSmoothingEnabled = false;
    for (let k = 0; k < this.maps; k++) {
      const [x, y] = this.corner(k);
      pen.drawImage(this.strip.canvas, 0, k * rows, columns, rows, x, y, columns * scale, rows * scale);
    }
    for (const each of windows.filter(({ strong }) => !strong)) this.outlineWindow(each);
    for (const each of windows.filter(({ strong }) => strong)) this.outlineWindow(each);
    if (place) this.frame(place);
  }

  /** Put a dot on each value of a single map, as large as a difference from 0 to 1 or more. */
  dots(differences) {
    const { pen, scale, columns } = this;
    pen.fillStyle = this.accent;
    differences.forEach((difference, at) => {
      const side = scale * 0.75 * Math.min(1, difference);
      const [x, y] = [(at % columns) * scale, Math.floor(at / columns) * scale];
      if (side > 0.5) pen.fillRect(x + (scale - side) / 2, y + (scale - side) / 2, side, side);
    });
  }

  /** Outline the value that is inspected, and its map. */
  frame({ k, i, j }) {
    const { pen, scale } = this;
    const [x, y] = this.corner(k);
    if (this.rows * this.columns > 1) this.outline(k, 0, 0, this.rows, this.columns, this.accent, 1);
    pen.strokeStyle = this.accent;
    pen.lineWidth = 2;
    const out = scale > 4 ? -1 : 1; // of a value too small to hold the line, around it
    pen.strokeRect(x + j * scale - out, y + i * scale - out, scale + 2 * out, scale + 2 * out);
  }

  corner(k) {
    const { scale, gap, across } = this;
    return [(k % across) * (this.columns * scale + gap), Math.floor(k / across) * (this.rows * scale + gap)];
  }

  outlineWindow({ map, top, left, height, width, count, strong }) {
    if (count === undefined) this.outline(map, top, left, height, width, this.window, strong ? 2 : 1);
    else if (strong)
      for (let k = map; k < map + count; k++) this.outline(k, 0, 0, this.rows, this.columns, this.window, 1);
  }

  outline(k, top, left, height, width, colour, line) {
    const { pen, scale } = this;
    const [x, y] = this.corner(k);
    pen.strokeStyle = colour;
    pen.lineWidth = line;
    pen.strokeRect(
      x + left * scale + line / 2,
      y + top * scale + line / 2,
      width * scale - line,
      height * scale - line,
    );
  }
}
