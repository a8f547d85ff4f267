// From the network's input to logits: overlapping tiles, mirrored, weighted and averaged. Sums are in half precision, as
// nnU-Net's are: it rounds logits, and so decides between classes that are close.

import {NUMBER, toHalf} from './half.js';
import {Refusal} from './refusal.js';
import {roundHalfEven} from './rounding.js';
import {count, placed, strides} from './volume.js';

const STEP = 0.5; // of a tile to the next one, as a part of the tile

export class SlidingWindow {
  /** mirrorAxes: spatial axes of a tile along which it is mirrored, alone and together. */
  constructor(patchSize, outputs, mirrorAxes) {
    this.ofSlices = patchSize.length === 2;
    this.size = patchSize; // as the network takes it
    this.patch = this.ofSlices ? [1, ...patchSize] : patchSize; // with three axes
    this.outputs = outputs;
    const axes = mirrorAxes.map((axis) => axis + 3 - patchSize.length);
    this.mirrorings = combinations(axes);
    this.gaussian = importance(this.size);
  }

  /** Where the tiles begin in a padded image, slice by slice for a network of slices. */
  tiles(shape) {
    const [first, second, third] = shape.map((size, axis) =>
      this.ofSlices && axis === 0 ? [...Array(size).keys()] : starts(size, this.patch[axis]));
    return first.flatMap((z) => second.flatMap((y) => third.map((x) => [z, y, x])));
  }

  /** How many tiles an image of this shape has. */
  numberOfTiles(shape) {
    return this.tiles(this.#padded(shape)).length;
  }

  /** The logits of one network, {classes, shape}, each class as the 16 bits of its halves. */
  async logits(network, {channels, shape}, onTile) {
    const padded = this.#padded(shape);
    const inside = shape.map((size, axis) => {
      const before = Math.floor((padded[axis] - size) / 2);
      return [before, before + size];
    });
    const image = channels.map((data) => placed({data}, inside, padded).data);
    const totals = Array.from({length: this.outputs}, () => new Uint16Array(count(padded)));
    const weight = new Uint16Array(count(padded));
    for (const start of this.tiles(padded)) {
      const mean = await this.#mirrored(network, image, padded, start);
      this.#add(mean, padded, start, totals, weight);
      onTile();
    }
    const classes = totals.map((total) => average(total, weight, padded, inside));
    return {classes, shape};
  }

  #padded(shape) {
    return shape.map((size, axis) => Math.max(size, this.patch[axis]));
  }

  /** The mean over all mirrorings, of which one at a time is in memory. */
  async #mirrored(network, image, shape, start) {
    const voxels = count(this.patch);
    const mean = new Float32Array(this.outputs * voxels);
    for (const axes of this.mirrorings) {
      const order = mirroredIndices(this.patch, axes);
      const tile = new Float32Array(image.length * voxels);
      image.forEach((channel, index) => {
        const part = this.#read(channel, shape, start);
        for (let i = 0; i < voxels; i++) tile[index * voxels + i] = part[order[i]];
      });
      const logits = await network(tile, [1, image.length, ...this.size]);
      for (let offset = 0; offset < mean.length; offset += voxels) {
        for (let i = 0; i < voxels; i++) mean[offset + order[i]] += logits[offset + i];
      }
    }
    for (let i = 0; i < mean.length; i++) mean[i] /= this.mirrorings.length;
    return mean;
  }

  #read(channel, shape, start) {
    const part = new Float32Array(count(this.patch));
    this.#rows(shape, start, (outside, inside, length) => part.set(channel.subarray(outside, outside + length), inside));
    return part;
  }

  #add(mean, shape, start, totals, weight) {
    const {gaussian} = this;
    this.#rows(shape, start, (outside, inside, length) => {
      totals.forEach((total, index) => {
        const offset = index * gaussian.length;
        for (let to = outside, from = inside; from < inside + length; to++, from++) {
          const weighted = Math.fround(mean[offset + from] * gaussian[from]);
          total[to] = toHalf(Math.fround(NUMBER[total[to]] + weighted));
        }
      });
      for (let to = outside, from = inside; from < inside + length; to++, from++) {
        weight[to] = toHalf(NUMBER[weight[to]] + gaussian[from]);
      }
    });
  }

  /** Calls back for each row of a tile: where it starts in the image, where in the tile, and its length. */
  #rows(shape, start, callback) {
    const [stepZ, stepY] = strides(shape);
    const [depth, height, width] = this.patch;
    for (let z = 0, inside = 0; z < depth; z++) {
      for (let y = 0; y < height; y++, inside += width) {
        callback((start[0] + z) * stepZ + (start[1] + y) * stepY + start[2], inside, width);
      }
    }
  }
}

/** Weighted sums divided by the weights, of what is inside. */
function average(total, weight, shape, [[z0, z1], [y0, y1], [x0, x1]]) {
  const result = new Uint16Array((z1 - z0) * (y1 - y0) * (x1 - x0));
  let to = 0;
  let finite = true;
  for (let z = z0; z < z1; z++) {
    for (let y = y0; y < y1; y++) {
      for (let x = x0, from = (z * shape[1] + y) * shape[2] + x0; x < x1; x++, from++) {
        const half = toHalf(Math.fround(NUMBER[total[from]] / NUMBER[weight[from]]));
        if ((half & 0x7c00) === 0x7c00) finite = false;
        result[to++] = half;
      }
    }
  }
  if (!finite) {
    throw new Refusal("The network's outputs are too large for half precision: check the intensities of the image.");
  }
  return result;
}

/** Weight of each position of a tile: a Gaussian around its centre, at most 10 and nowhere zero. */
export function importance(size) {
  const lines = size.map((length) => {
    const sigma = length / 8;
    const radius = Math.floor(4 * sigma + 0.5);
    const kernel = Array.from({length: 2 * radius + 1}, (_, i) => Math.exp(-0.5 / (sigma * sigma) * (i - radius) ** 2));
    const sum = kernel.reduce((total, value) => total + value, 0);
    const centre = Math.floor(length / 2);
    return Array.from({length}, (_, i) => (Math.abs(i - centre) <= radius ? kernel[i - centre + radius] / sum : 0));
  });
  const product = lines.reduce((before, line) => before.flatMap((value) => line.map((factor) => value * factor)), [1]);
  const scale = product.reduce((highest, value) => Math.max(highest, value), 0) / 10;
  const weights = Float32Array.from(product, (value) => NUMBER[toHalf(Math.fround(value / scale))]);
  const smallest = weights.reduce((lowest, value) => (value > 0 && value < lowest ? value : lowest), Infinity);
  return weights.map((value) => value || smallest);
}

/** Where tiles begin along an axis: equal steps, as few as STEP allows. */
export function starts(size, patch) {
  const tiles = Math.ceil((size - patch) / (patch * STEP)) + 1;
  const step = tiles > 1 ? (size - patch) / (tiles - 1) : 0;
  return Array.from({length: tiles}, (_, index) => roundHalfEven(step * index));
}

/** All subsets of the axes, the smaller ones first. */
function combinations(axes) {
  const subsets = axes.reduce((found, axis) => [...found, ...found.map((some) => [...some, axis])], [[]]);
  const order = (some) => some.map((axis) => axes.indexOf(axis));
  const before = (a, b) => {
    const index = a.findIndex((axis, place) => axis !== b[place]);
    return index < 0 ? 0 : a[index] - b[index];
  };
  return subsets.sort((a, b) => a.length - b.length || before(order(a), order(b)));
}

/** For each position of a tile, the position that it has when the tile is mirrored along some axes. */
function mirroredIndices(shape, axes) {
  const indices = new Int32Array(count(shape));
  const place = (position, axis) => (axes.includes(axis) ? shape[axis] - 1 - position : position);
  let index = 0;
  for (let z = 0; z < shape[0]; z++) {
    for (let y = 0; y < shape[1]; y++) {
      const row = (place(z, 0) * shape[1] + place(y, 1)) * shape[2];
      for (let x = 0; x < shape[2]; x++) indices[index++] = row + place(x, 2);
    }
  }
  return indices;
}
