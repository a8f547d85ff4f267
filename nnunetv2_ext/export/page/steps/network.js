// An ONNX file as a function, run by onnxruntime's WebAssembly.

import * as ort from '../vendor/onnxruntime/ort.wasm.bundle.min.js';

ort.env.wasm.wasmPaths = {wasm: new URL('../vendor/onnxruntime/ort-wasm-simd-threaded.wasm', import.meta.url).href};
// onnxruntime takes several threads by itself where a server sends the headers that isolate a page from others, else one.

/** The network in a file: a function from a tile, Float32Array, and its shape to logits. */
export async function loadNetwork(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} is missing: copy the whole folder again.`);
  const session = await ort.InferenceSession.create(await response.arrayBuffer(), {executionProviders: ['wasm']});
  const [given] = session.inputNames;
  const [result] = session.outputNames;
  return async (tile, shape) => {
    const outputs = await session.run({[given]: new ort.Tensor('float32', tile, shape)});
    return outputs[result].data;
  };
}
