// nnU-Net's normalisations, by the names of its classes. Each changes one channel, a Float32Array, in place.

import {Refusal} from './refusal.js';

const EPSILON = 1e-8;

/** Normalises a channel; nonzero says where the image counts, for a channel that is told to look there only. */
export function normalize(data, nonzero, channel) {
  NORMALIZATIONS[channel.normalization](data, channel.only_nonzero ? nonzero : null, channel.statistics);
}

function zScore(data, nonzero) {
  let sum = 0;
  let voxels = 0;
  for (let i = 0; i < data.length; i++) {
    if (nonzero && !nonzero[i]) continue;
    sum += data[i];
    voxels += 1;
  }
  const mean = Math.fround(sum / voxels);
  let squares = 0;
  for (let i = 0; i < data.length; i++) {
    if (nonzero && !nonzero[i]) continue;
    data[i] -= mean; // what does not count keeps its value, zero
    squares += data[i] * data[i];
  }
  const deviation = Math.fround(Math.max(Math.sqrt(squares / voxels), EPSILON));
  for (let i = 0; i < data.length; i++) if (!nonzero || nonzero[i]) data[i] /= deviation;
}

function ct(data, _, {mean, std, percentile_00_5: low, percentile_99_5: high}) {
  const [lowest, highest, middle] = [low, high, mean].map(Math.fround);
  const deviation = Math.fround(Math.max(std, EPSILON));
  for (let i = 0; i < data.length; i++) {
    data[i] = Math.fround(Math.min(Math.max(data[i], lowest), highest) - middle) / deviation;
  }
}

function to01(data) {
  const [low] = range(data);
  for (let i = 0; i < data.length; i++) data[i] -= low;
  const highest = Math.max(range(data)[1], Math.fround(EPSILON));
  for (let i = 0; i < data.length; i++) data[i] /= highest;
}

function rgbTo01(data) {
  const [low, high] = range(data);
  if (low < 0 || high > 255) {
    throw new Refusal(`Intensities are from ${low} to ${high}, and this model takes color images of 8 bits, from 0 to 255.`);
  }
  for (let i = 0; i < data.length; i++) data[i] /= 255;
}

function range(data) {
  let low = Infinity;
  let high = -Infinity;
  for (let i = 0; i < data.length; i++) {
    if (data[i] < low) low = data[i];
    if (data[i] > high) high = data[i];
  }
  return [low, high];
}

const NORMALIZATIONS = {
  ZScoreNormalization: zScore,
  CTNormalization: ct,
  NoNormalization: () => {},
  RescaleTo01Normalization: to01,
  RGBTo01Normalization: rgbTo01,
};
