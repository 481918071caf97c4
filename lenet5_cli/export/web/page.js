// The page: what is drawn goes through the network at every stroke, and all that it makes is shown.

const model = JSON.parse(document.getElementById("model").textContent);
const network = new Network(model);
const find = (id) => document.getElementById(id);
const last = network.layers.length - 1;
const [glyphRows, glyphColumns] = model.glyph;
const classes = model.names;
const none = `no ${model.noun}`; // what is farther than the model's threshold from every glyph
const LONG_LIST = 12; // classes: of more, only the nearest are listed with a bar

/** Return a number of things in words: 1 map, 6 maps. */
function counted(count, thing) {
  return `${count.toLocaleString("en")} ${thing}${count === 1 ? "" : "s"}`;
}

/** Return all of a number of things in words: the map, all 16 maps. */
function all(count, thing) {
  return count === 1 ? `the ${thing}` : `all ${counted(count, thing)}`;
}

/** Return a layer's output as (maps, rows, columns). */
function planes([maps, rows = 1, columns = 1]) {
  return { maps, rows, columns };
}

/** Return the lowest and highest value that comes out of a layer; of the input, for index -1. */
function outputRange(index) {
  if (index < 0) return { low: model.input.low, high: model.input.low + 255 * model.input.step };
  const { amplitude } = model.tanh;
  return network.layers[index].activation === "tanh" ? { low: -amplitude, high: amplitude } : { low: 0, high: 1 };
}

/** Return in a sentence what a layer does. */
function explained(layer) {
  const {
    kind,
    size,
    connections,
    input_shape: [maps],
    output_shape: [, rows = 1, columns = 1],
  } = layer;
  const kernels =
    layer === network.layers[0]
      ? `one ${size} × ${size} kernel over the input`
      : `a ${size} × ${size} kernel over each map below${connections ? " that it reads" : ""}, and sums`;
  return {
    conv:
      rows * columns === 1
        ? `Each unit sums ${all(maps, "map")} below, each value times a weight.`
        : `Each map slides ${kernels}.`,
    subsampling: `Each window of ${size} × ${size} becomes one value: its sum, times a weight, plus a bias.`,
    dense: `Each unit sums ${all(maps, "unit")} below, each times a weight.`,
    rbf: "The nearest glyph is the answer. Dots mark the differences from f6 that the distance sums.",
  }[kind];
}

const KINDS = {
  conv: "convolution",
  subsampling: "sub-sampling",
  dense: "fully connected",
  rbf: "radial basis functions",
};

/** Return the heading of a layer's section. */
function heading(layer) {
  const { maps, rows, columns } = planes(layer.output_shape);
  const shape =
    rows * columns === 1
      ? counted(maps, layer.kind === "rbf" ? "glyph" : "unit")
      : `${counted(maps, "map")} of ${rows} × ${columns}`;
  const parameters = layer.parameters ? counted(layer.parameters, "parameter") : "nothing to train";
  return element(
    "header",
    {},
    element("h2", {}, layer.name),
    element("span", { className: "kind" }, KINDS[layer.kind]),
    element("span", { className: "shape" }, `${shape} · ${parameters}`),
  );
}

const views = []; // of the input and of each layer but the last, in order
const sections = [];

/** Append a section to the layers; the last two stand side by side. */
function addSection(...content) {
  const section = element("section", { className: "layer" }, ...content);
  if (sections.length === last) find("layers").append(element("div", { className: "pair" }));
  sections.push(section);
  (sections.length > last ? find("layers").lastChild : find("layers")).append(section);
}

/** Put the network's input on the page. */
function addInput() {
  const { maps, rows, columns } = planes(network.layers[0].input_shape);
  const canvas = element("canvas", { role: "img", "aria-label": `input: ${rows} by ${columns}` });
  const { padding, threshold, low, step } = model.input;
  const [zero, full] = model.as_is ? ["black", "white"] : ["paper", "ink"];
  const ends = `${zero} is ${shown(low, low < 0 ? 1 : 0)}, ${full} ${shown(low + 255 * step, low < 0 ? 3 : 0)}`;
  const pixels = threshold === null ? ends : `${ends}, from ${threshold} of 255 on`;
  const what = element(
    "p",
    { className: "what" },
    `${rows} × ${columns}: the picture with ${padding} pixels of ${zero} around it; ${pixels}.`,
  );
  views.push(new MapView(canvas, { maps, rows, columns, ...outputRange(-1), scale: 2 }));
  addSection(element("header", {}, element("h2", {}, "input")), element("div", { className: "row" }, canvas, what));
}

/** Put a layer's section on the page. */
function addLayer(index) {
  const layer = network.layers[index];
  const { maps, rows, columns } = planes(layer.output_shape);
  const what = rows * columns === 1 ? counted(maps, "unit") : `${counted(maps, "map")} of ${rows} by ${columns}`;
  const label = `${layer.name}: ${what}. Arrow keys choose a value to inspect, page up and down another map.`;
  const canvas = element("canvas", { tabIndex: 0, role: "application", "aria-label": label });
  const form = network.layers[index + 1].kind === "rbf" ? { across: glyphColumns, scale: 8 } : {};
  const inspect = ({ k, i, j }) => select(index, k, i, j);
  views.push(new MapView(canvas, { maps, rows, columns, ...outputRange(index), ...form }, inspect));
  addSection(heading(layer), element("p", { className: "what" }, explained(layer)), canvas);
}

const glyphs = []; // a card a class: its glyph, with where f6 differs from it, and the distance
const bars = [];

/** Put the last layer's section on the page: a card a class, each with its glyph. */
function addGlyphs() {
  const layer = network.layers[last];
  const cards = element("div", { className: "cards" });
  cards.classList.toggle("long", classes.some((name) => name.length > 1)); // the distance stands below the name
  classes.forEach((name, k) => {
    const canvas = element("canvas");
    const number = element("span", { className: "number" });
    const label = element("span", { className: "name" }, name);
    const card = element(
      "button",
      { type: "button", className: "card", onclick: () => select(last, k, 0, 0) },
      canvas,
      element("span", { className: "label" }, label, number),
    );
    const view = new MapView(canvas, {
      maps: 1,
      rows: glyphRows,
      columns: glyphColumns,
      ...outputRange(last - 1),
      scale: 5,
    });
    glyphs.push({ card, number, view });
    cards.append(card);
  });
  addSection(heading(layer), element("p", { className: "what" }, explained(layer)), cards);
}

/** Put the list of distances on the page: a bar a class, or for the nearest of many classes. */
function addBars() {
  const list = find("distances");
  const limit = model.threshold === null ? "" : `; beyond ${shown(model.threshold, 1)} it is ${none}`;
  find("caption").textContent =
    `Distance from f6 to ${classes.length > LONG_LIST ? "the nearest glyphs" : "each glyph"}: the smallest wins${limit}.`;
  const pen = new OffscreenCanvas(1, 1).getContext("2d");
  const { fontSize, fontFamily } = getComputedStyle(list);
  pen.font = `650 ${fontSize} ${fontFamily}`; // as the nearest is shown
  const widest = Math.max(...classes.map((name) => pen.measureText(name).width));
  list.style.setProperty("--name", `${Math.ceil(clamped(widest, 14, 120))}px`);
  while (bars.length < Math.min(classes.length, LONG_LIST)) {
    const bar = {
      name: element("span", { className: "name" }),
      fill: element("span", { className: "fill" }),
      number: element("span", { className: "number" }),
    };
    const track = element("span", { className: "track" }, bar.fill);
    if (model.threshold !== null) {
      const mark = element("span", { className: "mark" });
      mark.style.left = `${100 * clamped(model.threshold / farthest, 0, 1)}%`;
      track.append(mark);
    }
    bar.button = element(
      "button",
      { type: "button", className: "bar", onclick: () => select(last, bar.k, 0, 0) },
      bar.name,
      track,
      bar.number,
    );
    bars.push(bar);
    list.append(element("li", {}, bar.button));
  }
}

/** Return the squared distance between the two codes that are farthest apart: as long as a bar can be. */
function widestDistance() {
  const {
    codes,
    input_shape: [units],
  } = network.layers[last];
  let widest = 0;
  for (let a = 0; a < classes.length; a++) {
    for (let b = 0; b < a; b++) {
      let sum = 0;
      for (let c = 0; c < units; c++) sum += (codes[a * units + c] - codes[b * units + c]) ** 2;
      widest = Math.max(widest, sum);
    }
  }
  return widest;
}

/** Return the classes by distance, the nearest first, with their distances. */
function ranking(scores) {
  return Array.from(scores, (score, k) => ({ k, distance: -score })).sort((a, b) => a.distance - b.distance);
}

/** Return what the network says of scores: the nearest class, or null if it is farther than a digit is. */
function answer(scores) {
  const [nearest] = ranking(scores);
  return model.threshold !== null && nearest.distance > model.threshold ? null : classes[nearest.k];
}

function showAnswer(scores) {
  const [nearest, second] = ranking(scores);
  const read = answer(scores);
  const text = pad.empty ? "" : (read ?? none);
  write(find("answer"), text || "–");
  find("answer").classList.toggle("words", text.length > 2);
  const [first, next] = [nearest, second].map(({ k, distance }) => `${classes[k]} at ${shown(distance, 1)}`);
  write(
    find("reason"),
    pad.empty
      ? "The answer appears with the first stroke."
      : read === null
        ? `The nearest glyph is ${first}; beyond ${shown(model.threshold, 1)} it is ${none}.`
        : `The nearest glyph is ${first}, then ${next}.`,
  );
  clearTimeout(showAnswer.timer); // to be said once the pen rests, not at every point of a stroke
  showAnswer.timer = setTimeout(() => {
    find("said").textContent = pad.empty ? "" : `${text}. ${find("reason").textContent}`;
  }, 600);
  showBars(scores);
}

function showBars(scores) {
  const ranked = ranking(scores);
  const listed = classes.length > LONG_LIST ? ranked.slice(0, LONG_LIST) : [...ranked].sort((a, b) => a.k - b.k);
  listed.forEach(({ k, distance }, at) => {
    const bar = bars[at];
    bar.k = k;
    write(bar.name, classes[k]);
    write(bar.number, shown(distance, 1));
    bar.fill.style.width = `${100 * clamped(distance / farthest, 0, 1)}%`;
    bar.button.classList.toggle("nearest", !pad.empty && k === ranked[0].k);
    bar.button.setAttribute("aria-label", `${classes[k]}: distance ${shown(distance, 1)}. Inspect.`);
  });
}

/** Draw each glyph, with dots as large as f6 differs from it. */
function showGlyphs(f6, scores) {
  const nearest = pad.empty ? -1 : ranking(scores)[0].k;
  const { codes } = network.layers[last];
  glyphs.forEach(({ card, number, view }, k) => {
    const code = codes.subarray(k * f6.length, (k + 1) * f6.length);
    view.draw(code);
    if (!pad.empty) view.dots(f6.map((value, c) => Math.abs(value - code[c])));
    write(number, shown(-scores[k], 1));
    card.classList.toggle("nearest", k === nearest);
    card.classList.toggle("inspected", inspector.index === last && inspector.place.k === k);
    card.setAttribute("aria-label", `glyph ${classes[k]}: distance ${shown(-scores[k], 1)}. Inspect.`);
  });
}

/** Compute and show everything for what is on the pad. */
function render() {
  render.pending = false;
  const image = pad.image();
  const outputs = network.outputs(image);
  const scores = outputs.at(-1);
  seen.draw(image);
  views.forEach((view, at) => {
    const windows = inspector.index === at ? inspector.windows() : [];
    view.draw(outputs[at], { windows, place: inspector.index === at - 1 ? inspector.place : null });
  });
  showGlyphs(outputs.at(-2), scores);
  showAnswer(scores);
  inspector.update(outputs);
  find("hint").hidden = !pad.empty;
  for (const id of ["undo", "clear"]) find(id).disabled = pad.empty;
  render.count = (render.count ?? 0) + 1;
}

/** Render with the next frame, once however much changes before it. */
function changed() {
  if (render.pending) return;
  render.pending = true;
  requestAnimationFrame(render);
}

/** Inspect an output; on a narrow page, right below its layer, which stays where it is on the screen. */
function select(index, k, i, j) {
  const { top } = sections[index + 1].getBoundingClientRect();
  inspector.select(index, k, i, j);
  placeInspector();
  scrollBy(0, sections[index + 1].getBoundingClientRect().top - top);
  find("said").textContent = inspector.title.textContent;
}

const narrow = matchMedia("(max-width: 1339px)");

function placeInspector() {
  const panel = find("inspector");
  const beside = inspector.index >= last - 1; // below both sections of the last row
  if (narrow.matches) sections[beside ? last + 1 : inspector.index + 1].after(panel);
  else find("side").append(panel);
}

/** Return the colours of the numbers in the inspector: of the layer's input, its weights and their products. */
function inspectorColours(index, weights, products, squared) {
  const { low, high } = outputRange(index - 1);
  const signed = (numbers) => {
    const most = Math.max(1e-9, ...numbers.map(Math.abs));
    return (value) => theme.signed((squared ? -1 : 1) * (value / most));
  };
  const ink = (value) => theme.ink(clamped((value - low) / (high - low), 0, 1));
  return { value: ink, weight: squared ? ink : signed(weights ?? []), product: signed(products) };
}

function allViews() {
  return [seen, ...views, ...glyphs.map(({ view }) => view)];
}

function layout() {
  const room = find("layers").clientWidth;
  seen.scale = narrow.matches ? 4 : 5;
  for (const view of allViews()) view.layout(room);
  if (inspector.sum) placeInspector();
  changed();
}

let theme;

function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  find("theme").textContent = dark ? "Light" : "Dark";
  find("theme").setAttribute("aria-label", dark ? "Light theme" : "Dark theme");
  theme = themeColours();
  for (const view of allViews()) view.theme(theme);
  pad.redraw();
  changed();
}

/** Say something that went wrong, or nothing any more. */
function notice(text) {
  find("notice").textContent = text;
}

async function open(file) {
  notice("");
  try {
    await pad.open(file);
  } catch (error) {
    const known = error.message.startsWith("no ink");
    notice(`${file.name || "the picture"}: ${known ? error.message : "not a picture that this browser can read"}`);
  }
}

/** Put the examples on the page: a button a class, which goes through that class's pictures. */
function addExamples() {
  const packed = fromBase64(model.examples.pixels);
  const pixels = Uint8Array.from(
    { length: 2 * packed.length },
    (_, at) => 17 * (at % 2 ? packed[at >> 1] & 15 : packed[at >> 1] >> 4),
  );
  const size = network.side ** 2;
  const next = {};
  for (const name of new Set(model.examples.names)) {
    const places = range(model.examples.names.length).filter((at) => model.examples.names[at] === name);
    const show = () => {
      const at = places[(next[name] = ((next[name] ?? -1) + 1) % places.length)];
      pad.exact(pixels.slice(at * size, (at + 1) * size));
    };
    find("examples").append(
      element("button", { type: "button", onclick: show, "aria-label": `Example of ${name}` }, name),
    );
  }
  find("example-tools").hidden = !model.examples.names.length;
}

function addAbout() {
  if (model.as_is) find("form").textContent = "What the network sees: 28 × 28, the picture as it is, scaled to fit.";
  for (const [name, value] of model.about) find("about").append(element("dt", {}, name), element("dd", {}, value));
}

function listen() {
  find("undo").onclick = () => pad.undo();
  find("clear").onclick = () => pad.clear();
  find("width").oninput = (event) => (pad.width = Number(event.target.value));
  find("theme").onclick = () => setTheme(document.documentElement.dataset.theme !== "dark");
  find("open").onclick = () => find("file").click();
  find("file").onchange = ({ target }) => {
    if (target.files.length) open(target.files[0]);
    target.value = "";
  };
  addEventListener("paste", ({ clipboardData }) => {
    if (clipboardData?.files.length) open(clipboardData.files[0]);
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) open(event.dataTransfer.files[0]);
  });
  addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "z" && !pad.empty) {
      event.preventDefault();
      pad.undo();
    }
  });
  new ResizeObserver(layout).observe(find("layers"));
  narrow.addEventListener("change", layout);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", () => setTheme(dark.matches));
  setTheme(dark.matches);
}

network.layers[last].names = classes;
const farthest = widestDistance();
const pad = new Pad(find("pad"), network.side, model.as_is, () => {
  notice("");
  changed();
});
const seen = new MapView(find("seen"), {
  maps: 1,
  rows: network.side,
  columns: network.side,
  ...(model.as_is ? { low: 255, high: 0 } : { low: 0, high: 255 }), // the lowest is drawn as paper
  scale: 5,
});
const inspector = new Inspector(find("inspector"), network, glyphColumns, inspectorColours, changed);
addInput();
for (let index = 0; index < last; index++) addLayer(index);
addGlyphs();
addBars();
addExamples();
addAbout();
layout();
listen();
select(0, 0, Math.floor(network.layers[0].output_shape[1] / 2), Math.floor(network.layers[0].output_shape[2] / 2));

// For the console: lenet5.scores(image) of 784 bytes, white on black; lenet5.image(), what the network sees now.
window.lenet5 = {
  scores: (image) => Array.from(network.scores(Uint8Array.from(image))),
  answer: (image) => answer(network.scores(Uint8Array.from(image))),
  image: () => Array.from(pad.image()),
  rendered: () => render.count,
};
