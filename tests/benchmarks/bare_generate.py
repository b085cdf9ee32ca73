"""The same work as `infertui run`, in the fewest lines: what anyone would write to time `generate`.

    python bare_generate.py CONFIG_DIR DEVICE DTYPE BATCH PROMPT_TOKENS NEW_TOKENS ITERATIONS

Prints the seconds of each iteration as a JSON list.
"""

import json
import sys
import time

import torch
import transformers

folder, device, dtype, *numbers = sys.argv[1:]
batch, prompt_tokens, new_tokens, iterations = map(int, numbers)
torch.manual_seed(0)
with torch.device(device):
    model = transformers.AutoModelForCausalLM.from_config(
        transformers.AutoConfig.from_pretrained(folder), dtype=getattr(torch, dtype)
    ).eval()
model.generation_config = transformers.GenerationConfig(pad_token_id=0)
ids = torch.randint(0, 256, (batch, prompt_tokens), device=device)
wait = torch.cuda.synchronize if device == "cuda" else lambda: None
seconds = []
for _ in range(3 + iterations):
    wait()
    start = time.perf_counter()
    model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=new_tokens, do_sample=False)
    wait()
    seconds.append(time.perf_counter() - start)
print(json.dumps(seconds[3:]))
