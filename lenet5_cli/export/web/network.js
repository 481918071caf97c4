// LeNet-5's forward pass. The letters are those of the layers' equations: c is an input map or unit, k an output map,
// unit or class, i and j an output row and column, u and v a row and column within a window.

/** Return the bytes of a base64 text. */
function fromBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** Return the activation functions by name. */
function activations({ amplitude, slope }) {
  return {
    sigmoid: (z) => 1 / (1 + Math.exp(-z)),
    tanh: (z) => amplitude * Math.tanh(slope * z),
  };
}

// One function a kind of layer: it adds to z, which is all 0, what the activation is then applied to.
const SUMS = {
  /** z[k,i,j] = sum_cuv x[c,i+u,j+v] weight[k,c,u,v] + bias[k] */
  conv({ input_shape: [maps, height, width], output_shape: [kernels, rows, columns], size, weight, bias }, x, z) {
    for (let k = 0, at = 0; k < kernels; k++) {
      const start = k * rows * columns;
      z.fill(bias[k], start, start + rows * columns);
      for (let c = 0; c < maps; c++) {
        for (let u = 0; u < size; u++) {
          for (let v = 0; v < size; v++) {
            const w = weight[at++];
            if (w === 0) continue; // a map that this one does not read
            for (let i = 0; i < rows; i++) {
              let from = (c * height + i + u) * width + v;
              let to = start + i * columns;
              for (let j = 0; j < columns; j++) z[to++] += w * x[from++];
            }
          }
        }
      }
    }
  },

  /** z[c,i,j] = weight[c] sum_uv x[c,s i+u,s j+v] + bias[c], s being the size of a window */
  subsampling({ output_shape: [maps, rows, columns], size, weight, bias }, x, z) {
    const width = columns * size;
    for (let c = 0, to = 0; c < maps; c++) {
      for (let i = 0; i < rows; i++) {
        for (let j = 0; j < columns; j++, to++) {
          let sum = 0;
          for (let u = 0; u < size; u++) {
            const from = (c * rows * size + i * size + u) * width + j * size;
            for (let v = 0; v < size; v++) sum += x[from + v];
          }
          z[to] = weight[c] * sum + bias[c];
        }
      }
    }
  },

  /** z[k] = sum_c x[c] weight[c,k] + bias[k] */
  dense({ weight, bias }, x, z) {
    const units = bias.length;
    z.set(bias);
    for (let c = 0; c < x.length; c++) {
      for (let k = 0; k < units; k++) z[k] += x[c] * weight[c * units + k];
    }
  },

  /** z[k] = -sum_c (x[c] - codes[k,c])^2 */
  rbf({ codes }, x, z) {
    for (let k = 0, at = 0; k < z.length; k++) {
      for (let c = 0; c < x.length; c++) z[k] -= (x[c] - codes[at++]) ** 2;
    }
  },
};

class Network {
  /** Take up a model: its layers in order, their numbers as stretches of one array. */
  constructor({ input, layers, numbers, tanh }) {
    const all = new Float32Array(fromBase64(numbers).buffer);
    const functions = activations(tanh);
    this.input = input;
    this.layers = layers.map((layer) => {
      const arrays = Object.entries(layer.numbers).map(([name, [start, end]]) => [name, all.subarray(start, end)]);
      return { ...layer, ...Object.fromEntries(arrays), apply: functions[layer.activation] };
    });
    this.side = layers[0].input_shape[1] - 2 * input.padding; // pixels of a picture
  }

  /** Return a picture, bytes, white on black, as the network's input, with background around it. */
  prepare(image) {
    const { padding, threshold, step, low } = this.input;
    const width = this.side + 2 * padding;
    const x = new Float32Array(width * width).fill(low);
    for (let i = 0; i < this.side; i++) {
      for (let j = 0; j < this.side; j++) {
        const pixel = image[i * this.side + j];
        const ink = threshold === null ? pixel : pixel >= threshold ? 255 : 0;
        x[(i + padding) * width + j + padding] = low + step * ink;
      }
    }
    return x;
  }

  /** Return what each layer makes of a picture: first the input, last the scores. */
  outputs(image) {
    const outputs = [this.prepare(image)];
    for (const layer of this.layers) {
      const z = new Float64Array(layer.output_shape.reduce((a, b) => a * b));
      SUMS[layer.kind](layer, outputs.at(-1), z);
      outputs.push(new Float32Array(layer.apply ? z.map(layer.apply) : z));
    }
    return outputs;
  }

  /** Return minus the squared distance to each class's code. */
  scores(image) {
    return this.outputs(image).at(-1);
  }
}
