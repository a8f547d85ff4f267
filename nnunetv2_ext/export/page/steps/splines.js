// One axis of a volume at another length, by splines of order 0, 1 or 3, as scipy.ndimage.zoom(mode="nearest", grid_mode=True)
// and map_coordinates(mode="nearest") compute them. Splines of several axes are those of one axis after the other.

import {count} from './volume.js';

const PADDING = 12; // how far scipy continues the edge before it computes a cubic spline's coefficients
const POLE = Math.sqrt(3) - 2;

/** The volume's data, Float64Array, with another length of one axis. */
export function resizeAxis(data, shape, axis, length, order) {
  const old = shape[axis];
  const step = count(shape.slice(axis + 1));
  const outer = count(shape.slice(0, axis));
  const result = new Float64Array(outer * length * step);
  const padding = order === 3 ? PADDING : 0;
  const {starts, weights} = taps(old, length, order, padding);
  const taken = order + 1;
  const line = new Float64Array(old + 2 * padding);
  for (let i = 0; i < outer; i++) {
    for (let j = 0; j < step; j++) {
      const from = i * old * step + j;
      for (let k = 0; k < old; k++) line[padding + k] = data[from + k * step];
      if (padding) {
        line.fill(line[padding], 0, padding);
        line.fill(line[padding + old - 1], padding + old);
        coefficients(line);
      }
      let to = i * length * step + j;
      for (let k = 0; k < length; k++, to += step) {
        let sum = 0;
        for (let tap = 0; tap < taken; tap++) {
          const weight = weights[k * taken + tap];
          if (weight !== 0) sum += weight * line[starts[k] + tap];
        }
        result[to] = sum;
      }
    }
  }
  return result;
}

/** For each position of the new axis, which values of the old one count, from where on and by how much. */
function taps(old, length, order, padding) {
  const starts = new Int32Array(length);
  const weights = new Float64Array(length * (order + 1));
  const scale = old / length;
  for (let k = 0; k < length; k++) {
    let position = (k + 0.5) * scale - 0.5 + padding;
    if (order < 3) position = Math.min(Math.max(position, 0), old - 1);
    if (order === 0) {
      starts[k] = Math.floor(position + 0.5);
      weights[k] = 1;
      continue;
    }
    const floor = Math.floor(position);
    const after = position - floor;
    const before = 1 - after;
    if (order === 1) {
      starts[k] = floor;
      weights.set([before, after], 2 * k);
      continue;
    }
    starts[k] = floor - 1;
    const first = before ** 3 / 6;
    const second = (after * after * (after - 2) * 3 + 4) / 6;
    const third = (before * before * (before - 2) * 3 + 4) / 6;
    weights.set([first, second, third, 1 - first - second - third], 4 * k);
  }
  return {starts, weights};
}

/** The volume's data, Float64Array, with another length of one axis, from the positions that torch's nearest-exact takes. */
export function resizeAxisNearestExact(data, shape, axis, length) {
  const old = shape[axis];
  const step = count(shape.slice(axis + 1));
  const scale = Math.fround(old / length);
  const result = new Float64Array(data.length / old * length);
  for (let i = 0, to = 0; to < result.length; i++) {
    for (let k = 0; k < length; k++, to += step) {
      const position = Math.fround((k + 0.5) * scale - 0.5); // torch computes in float32, and multiplies and subtracts at once
      const nearest = Math.min(Math.floor(Math.fround(position + 0.5)), old - 1);
      const from = (i * old + nearest) * step;
      result.set(data.subarray(from, from + step), to);
    }
  }
  return result;
}

/** Turns values into a cubic spline's coefficients, in place, with the values mirrored at both ends. */
function coefficients(line) {
  const size = line.length;
  const gain = (1 - POLE) * (1 - 1 / POLE);
  for (let i = 0; i < size; i++) line[i] *= gain;
  const first = line[0];
  const far = POLE ** size;
  let sum = first + far * line[size - 1];
  for (let i = 1, power = POLE; i < size; i++, power *= POLE) sum += power * (line[i] + far * line[size - 1 - i]);
  line[0] = sum * POLE / (1 - far * far) + first;
  for (let i = 1; i < size; i++) line[i] += POLE * line[i - 1];
  line[size - 1] *= POLE / (POLE - 1);
  for (let i = size - 2; i >= 0; i--) line[i] = POLE * (line[i + 1] - line[i]);
}
