// From an image to the network's input, and from a segmentation of that back to the image.

import {NUMBER, toHalf} from './half.js';
import {boundingBox, fillHoles, nonzeroMask} from './nonzero.js';
import {normalize} from './normalization.js';
import {LINEAR, newShape, resample} from './resampling.js';
import {cropped, placed, transposed} from './volume.js';

/**
 * Transposes, crops to what is not zero, normalises and resamples.
 *
 * channels: a Float32Array each, of the shape [z, y, x]; spacing: of z, y and x; model: model.json.
 * Returns the network's input, {channels, shape}, and where it comes from.
 */
export function preprocess(channels, shape, spacing, model) {
  const axes = model.transpose_forward;
  const turned = channels.map((data) => transposed({data, shape}, axes));
  const whole = turned[0].shape;
  const from = axes.map((axis) => spacing[axis]);
  // A network of slices leaves the distance between them as it is.
  const to = model.spacing.length === 3 ? model.spacing : [from[0], ...model.spacing];
  let mask = nonzeroMask(turned.map(({data}) => data), whole);
  const box = boundingBox(mask, whole);
  const boxShape = box.map(([start, stop]) => stop - start);
  const masked = model.channels.some((channel) => channel.only_nonzero);
  mask = masked ? cropped({data: fillHoles(mask, whole), shape: whole}, box).data : null;
  const size = newShape(boxShape, from, to);
  const resampled = turned.map((volume, index) => {
    const part = cropped(volume, box);
    normalize(part.data, mask, model.channels[index]);
    const {data, shape: reached} = resample(part, size, from, to, model.data_resampling);
    return {data: Float32Array.from(data), shape: reached};
  });
  return {
    input: {channels: resampled.map(({data}) => data), shape: resampled[0].shape},
    placement: {shape: whole, box, boxShape, from, to},
  };
}

/** Logits at the size of the cropped image, one class after the other, from halves as 16 bits. */
export function* resampleLogits({classes, shape}, placement, model) {
  const how = model.logits_resampling;
  for (const halves of classes) {
    const channel = {data: Float32Array.from(halves, (half) => NUMBER[half]), shape};
    const resized = resample(channel, placement.boxShape, placement.to, placement.from, how);
    if (resized === channel) yield channel.data;
    else if (how.function === LINEAR) yield Float32Array.from(resized.data);
    else yield Float32Array.from(resized.data, (logit) => NUMBER[toHalf(logit)]);
  }
}

/** The segmentation of a whole image [z, y, x] from that of the part that was cropped. */
export function putBack(segmentation, placement, model) {
  const part = {data: segmentation, shape: placement.boxShape};
  return transposed(placed(part, placement.box, placement.shape), model.transpose_backward).data;
}
