"""The laboratory: the small world, causal LMs, sequence log-probs, SFT and DPO, all on record.

Import from the modules: `world`, `pairs`, `tokenizer`, `model`, `logprobs`, `trees`, `enumeration`,
`training`, `runs`, `kernel`, `layers`, `outer`, `one_step`, `next_step`, `sampling`, `recipe`,
`checkpoint`.
Nothing is imported here, so that the world comes without torch. Tensors stay on the device that the
caller chose: move a batch to the model's with `Batch.to`; what comes back as an array is on the
host.
"""
