// nnU-Net's resampling of images and logits, one channel at a time.

import {Refusal} from './refusal.js';
import {roundHalfEven} from './rounding.js';
import {resizeAxis, resizeAxisNearestExact} from './splines.js';
import {strides} from './volume.js';

export const LINEAR = 'resample_torch_fornnunet';
const NONE = 'no_resampling_hack';

/** The size in voxels that an image has at another spacing. */
export const newShape = (shape, spacing, target) =>
  shape.map((size, axis) => roundHalfEven(spacing[axis] / target[axis] * size));

/** A channel {data, shape} at another size; its data are then a Float64Array, or as they were if nothing had to change. */
export function resample(channel, shape, spacing, target, how) {
  if (how.function === NONE || shape.every((size, axis) => size === channel.shape[axis])) return channel;
  if (shape.includes(0)) {
    const [voxels, from, to, left] = [channel.shape, spacing, target, shape].map((numbers) => numbers.join(' × '));
    throw new Refusal(
      `The image has the spacing ${from} and the model ${to}, at which its ${voxels} voxels become ${left}. ` +
      "Check the spacing in the image's header and its unit.");
  }
  const order = how.function === LINEAR ? 1 : how.order;
  const separate = separateAxis(spacing, target, how);
  let data = Float64Array.from(channel.data);
  const current = [...channel.shape];
  for (let axis = 0; axis < 3; axis++) {
    if (axis === separate || shape[axis] === current[axis]) continue;
    data = resizeAxis(data, current, axis, shape[axis], order);
    current[axis] = shape[axis];
  }
  if (order > 1) keepRange(data, current, channel, separate);
  if (separate !== null && shape[separate] !== current[separate]) {
    data = how.function === LINEAR
      ? resizeAxisNearestExact(data, current, separate, shape[separate])
      : resizeAxis(data, current, separate, shape[separate], how.order_z);
  }
  return {data, shape: [...shape]};
}

/** The axis of thick slices, which is resampled on its own; null if there is no such axis, or more than one. */
export function separateAxis(spacing, target, how) {
  const isThick = (sizes) => Math.max(...sizes) / Math.min(...sizes) > how.separate_z_anisotropy_threshold;
  const thick = how.force_separate_z === null ? [spacing, target].find(isThick) : how.force_separate_z ? spacing : undefined;
  if (!thick) return null;
  const axes = [0, 1, 2].filter((axis) => Math.max(...thick) / thick[axis] === 1);
  return axes.length === 1 ? axes[0] : null;
}

/** Cubic splines overshoot: cuts off what is outside of the channel's values, in each slice of thick ones. */
function keepRange(data, shape, channel, separate) {
  const slices = separate === null ? 1 : shape[separate];
  const low = new Float64Array(slices).fill(Infinity);
  const high = new Float64Array(slices).fill(-Infinity);
  const sliceOf = (size) => {
    if (separate === null) return () => 0;
    const step = strides(size)[separate];
    return (index) => Math.floor(index / step) % slices;
  };
  const before = sliceOf(channel.shape);
  channel.data.forEach((value, index) => {
    const slice = before(index);
    if (value < low[slice]) low[slice] = value;
    if (value > high[slice]) high[slice] = value;
  });
  const after = sliceOf(shape);
  for (let i = 0; i < data.length; i++) {
    const slice = after(i);
    data[i] = Math.min(Math.max(data[i], low[slice]), high[slice]);
  }
}
