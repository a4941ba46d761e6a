"""The laboratory: the small world, causal LMs, sequence log-probs, SFT and DPO, all on record.

Import from the modules: `world`, `pairs`, `tokenizer`, `model`, `logprobs`, `trees`, `training`, `runs`,
`kernel`, `one_step`, `next_step`, `sampling`, `checkpoint`. Nothing is imported here, so that the
world comes without torch.
"""
