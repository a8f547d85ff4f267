// From an image to its segmentation, as nnunetv2_ext.runtime.predictor.

import {NUMBER, toHalf} from './half.js';
import {readLabels, segment} from './labels.js';
import {preprocess, putBack, resampleLogits} from './preprocessing.js';
import {newShape} from './resampling.js';
import {SlidingWindow} from './sliding_window.js';
import {count} from './volume.js';

/**
 * The label of each voxel of an image.
 *
 * channels: a Float32Array each, of the shape [z, y, x]; networks: functions from a tile and its shape to logits;
 * onTile: called with how many tiles are done, and how many there are.
 */
export async function predict(channels, shape, spacing, {model, networks, mirroring = true, onTile = () => {}}) {
  const labels = readLabels(model);
  const window = new SlidingWindow(model.patch_size, labels.outputs, mirroring ? model.mirror_axes : []);
  const {input, placement} = preprocess(channels, shape, spacing, model);
  const total = networks.length * window.numberOfTiles(input.shape);
  let done = 0;
  const tile = () => onTile(++done, total);
  onTile(0, total);
  let logits = null;
  for (const network of networks) {
    const one = await window.logits(network, input, tile);
    if (logits === null) logits = one;
    else logits.classes.forEach((sum, index) => add(sum, one.classes[index]));
  }
  if (networks.length > 1) logits.classes.forEach((sum) => divide(sum, networks.length));
  return putBack(segment(resampleLogits(logits, placement, model), labels), placement, model);
}

/** How many bytes a prediction takes at its peak, about, if nothing of the image is zero. */
export function memoryNeeded(shape, spacing, model) {
  const axes = model.transpose_forward;
  const turned = axes.map((axis) => shape[axis]);
  const from = axes.map((axis) => spacing[axis]);
  const to = model.spacing.length === 3 ? model.spacing : [from[0], ...model.spacing];
  const inputs = model.channels.length;
  const sums = readLabels(model).outputs * Math.min(model.folds.length, 2);
  return count(shape) * (8 * inputs + 24) + count(newShape(turned, from, to)) * (8 * inputs + 2 * sums + 10);
}

function add(sum, halves) {
  for (let i = 0; i < sum.length; i++) sum[i] = toHalf(NUMBER[sum[i]] + NUMBER[halves[i]]);
}

function divide(sum, divisor) {
  for (let i = 0; i < sum.length; i++) sum[i] = toHalf(Math.fround(NUMBER[sum[i]] / divisor));
}
