// The square to draw on.

const PAD = 280; // units of its side, and pixels of the raster that is read

/** Strokes and pictures, one over the other, of which the latest can be taken back. */
class Pad {
  /** Take the canvas, the side of a picture in pixels, whether it is read as it is, and what to call on a change. */
  constructor(canvas, side, asIs, changed) {
    Object.assign(this, { canvas, side, asIs, changed });
    this.items = [];
    this.width = 22; // of the pen, in units of the pad
    this.cursor = null; // of the keyboard
    canvas.width = canvas.height = 2 * PAD;
    this.view = canvas.getContext("2d");
    this.view.scale(2, 2);
    this.raster = new OffscreenCanvas(PAD, PAD).getContext("2d", { willReadFrequently: true });
    this.listen();
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !event.isPrimary) return;
      canvas.setPointerCapture(event.pointerId);
      this.cursor = null;
      this.box = canvas.getBoundingClientRect();
      this.begin(this.point(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.stroke || !event.isPrimary || this.cursor) return;
      const passed = event.getCoalescedEvents?.() ?? [];
      for (const each of passed.length ? passed : [event]) this.extend(this.point(each));
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      canvas.addEventListener(end, () => this.cursor || (this.stroke = null));
    }
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => this.lift());
  }

  /** Return where the pointer is, with the radius of the pen there. */
  point(event) {
    const { box } = this;
    const pressed = event.pointerType === "pen" && event.pressure > 0 ? 0.5 + event.pressure : 1;
    return {
      x: ((event.clientX - box.left) / box.width) * PAD,
      y: ((event.clientY - box.top) / box.height) * PAD,
      radius: (pressed * this.width) / 2,
    };
  }

  /** Draw by keyboard: arrows move the pen, the space bar puts it down and lifts it. */
  key(event) {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!move && event.key !== " ") return;
    event.preventDefault();
    if (!move && event.repeat) return; // the space bar is held down
    this.cursor ??= { x: PAD / 2, y: PAD / 2, radius: 0 };
    const { x, y } = this.cursor;
    if (move) {
      const step = event.shiftKey ? 2 : 8;
      const inside = (value) => Math.min(PAD, Math.max(0, value));
      this.cursor = { x: inside(x + step * move[0]), y: inside(y + step * move[1]), radius: this.width / 2 };
      if (this.stroke) this.extend(this.cursor);
    } else if (this.stroke) {
      this.stroke = null;
    } else {
      this.begin({ x, y, radius: this.width / 2 });
    }
    this.redraw();
  }

  /** Lift the pen of the keyboard. */
  lift() {
    this.cursor = this.stroke = null;
    this.redraw();
  }

  begin(point) {
    this.stroke = [point];
    this.items.push({ stroke: this.stroke });
    this.segment(point, point);
    this.changed();
  }

  extend(point) {
    this.segment(this.stroke.at(-1), point);
    this.stroke.push(point);
    this.changed();
  }

  /** Put a picture on the pad: its ink as a canvas; `exact` if that is what the network reads. */
  picture(ink, exact = null) {
    this.stroke = this.opening = null;
    this.items = [{ ink, exact }];
    this.redraw();
    this.changed();
  }

  undo() {
    this.stroke = null;
    this.items.pop();
    this.redraw();
    this.changed();
  }

  clear() {
    this.opening = null;
    this.items = [];
    this.lift();
    this.changed();
  }

  get empty() {
    return !this.items.length;
  }

  segment(from, to) {
    for (const pen of [this.view, this.raster]) {
      pen.strokeStyle = pen === this.view ? this.colour : "black";
      pen.lineCap = "round";
      pen.lineWidth = from.radius + to.radius;
      pen.beginPath();
      pen.moveTo(from.x, from.y);
      pen.lineTo(to.x, to.y);
      pen.stroke();
    }
  }

  redraw() {
    this.colour = getComputedStyle(this.canvas).color;
    for (const pen of [this.view, this.raster]) pen.clearRect(0, 0, PAD, PAD);
    for (const { stroke, ink } of this.items) {
      if (stroke) stroke.forEach((point, at) => this.segment(stroke[Math.max(0, at - 1)], point));
      else this.place(ink);
    }
    if (this.cursor) this.cross();
  }

  /** Draw a picture's ink in the middle of the pad, as large as it allows. */
  place(ink) {
    const scale = PAD / Math.max(ink.width, ink.height);
    const [width, height] = [ink.width * scale, ink.height * scale];
    this.raster.drawImage(ink, (PAD - width) / 2, (PAD - height) / 2, width, height);
    const coloured = new OffscreenCanvas(ink.width, ink.height);
    const pen = coloured.getContext("2d");
    pen.drawImage(ink, 0, 0);
    pen.globalCompositeOperation = "source-in";
    pen.fillStyle = this.colour;
    pen.fillRect(0, 0, ink.width, ink.height);
    this.view.drawImage(coloured, (PAD - width) / 2, (PAD - height) / 2, width, height);
  }

  /** Show where the keyboard's pen is. */
  cross() {
    const { x, y } = this.cursor;
    this.view.strokeStyle = getComputedStyle(this.canvas).accentColor;
    this.view.lineWidth = 2;
    this.view.beginPath();
    this.view.arc(x, y, Math.max(4, this.width / 2), 0, 2 * Math.PI);
    this.view.stroke();
  }

  /** Return the picture that the network reads: bytes, white on black or, as it is, the pad with its white paper. */
  image() {
    if (this.items.length === 1 && this.items[0].exact) return this.items[0].exact;
    const { data } = this.raster.getImageData(0, 0, PAD, PAD);
    const ink = new Uint8Array(PAD * PAD);
    for (let at = 0; at < ink.length; at++) ink[at] = data[4 * at + 3];
    if (this.asIs) return fitted(ink.map((value) => 255 - value), PAD, PAD, this.side);
    return asMnist(ink, PAD, PAD, this.side);
  }

  /** Put a picture file on the pad, unless another picture comes first, or all is cleared, while it is decoded. */
  async open(file) {
    const opening = (this.opening = {});
    const show = await this.read(file);
    if (this.opening === opening) show();
  }

  /** Return what puts a picture file on the pad: its ink, or, as it is or in MNIST's form on white or black, itself. */
  async read(file) {
    const whole = await decoded(file, LONGEST, 1);
    const luma = brightness(whole);
    if (this.asIs) return () => this.exact(fitted(luma, whole.height, whole.width, this.side));
    if (whole.width === this.side && whole.height === this.side) {
      for (const image of [luma, luma.map((value) => 255 - value)]) {
        const bytes = Uint8Array.from(image, Math.round);
        if (isMnist(bytes, this.side)) return () => this.exact(bytes);
      }
    }
    const pixels = await decoded(file, PAD);
    const ink = inkOf(brightness(pixels), pixels.height, pixels.width);
    if (!ink.some(Boolean)) throw new Error("no ink found in this picture");
    return () => this.picture(inkCanvas(ink, pixels.height, pixels.width));
  }

  /** Put a picture that the network reads unchanged on the pad. */
  exact(image) {
    this.picture(
      inkCanvas(
        Array.from(image, (value) => (this.asIs ? 255 - value : value) / 255),
        this.side,
        this.side,
      ),
      image,
    );
  }
}
