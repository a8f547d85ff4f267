// Where an image is not zero.

import {count} from './volume.js';

/** 1 where any of the channels is not zero. */
export function nonzeroMask(channels, shape) {
  const mask = new Uint8Array(count(shape));
  for (const channel of channels) {
    for (let i = 0; i < mask.length; i++) if (channel[i] !== 0) mask[i] = 1;
  }
  return mask;
}

/** The smallest box [[start, stop], ...] around what is not zero; everything if nothing is. */
export function boundingBox(mask, shape) {
  const low = [...shape];
  const high = [-1, -1, -1];
  let index = 0;
  for (let z = 0; z < shape[0]; z++) {
    for (let y = 0; y < shape[1]; y++) {
      for (let x = 0; x < shape[2]; x++) {
        if (!mask[index++]) continue;
        if (z < low[0]) low[0] = z;
        if (z > high[0]) high[0] = z;
        if (y < low[1]) low[1] = y;
        if (y > high[1]) high[1] = y;
        if (x < low[2]) low[2] = x;
        if (x > high[2]) high[2] = x;
      }
    }
  }
  return high[0] < 0 ? shape.map((size) => [0, size]) : low.map((start, axis) => [start, high[axis] + 1]);
}

/** The mask, and 1 where zeros don't reach the outside of the volume across faces of voxels. */
export function fillHoles(mask, shape) {
  const [depth, height, width] = shape;
  const outside = new Uint8Array(mask.length);
  const found = [];
  const look = (index) => {
    if (mask[index] || outside[index]) return;
    outside[index] = 1;
    found.push(index);
  };
  for (let z = 0, index = 0; z < depth; z++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++, index++) {
        if (z === 0 || y === 0 || x === 0 || z === depth - 1 || y === height - 1 || x === width - 1) look(index);
      }
    }
  }
  while (found.length) {
    const index = found.pop();
    const x = index % width;
    const y = Math.floor(index / width) % height;
    const z = Math.floor(index / (width * height));
    if (x > 0) look(index - 1);
    if (x < width - 1) look(index + 1);
    if (y > 0) look(index - width);
    if (y < height - 1) look(index + width);
    if (z > 0) look(index - width * height);
    if (z < depth - 1) look(index + width * height);
  }
  return outside.map((reached) => 1 - reached);
}
