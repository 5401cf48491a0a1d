#!/usr/bin/env bash
# The training and sweep benchmarks on one GPU: random weights in the shape of Llama 3 8B, bfloat16, no download.
# Writes results/gpu-train.*, gpu-sweep.* and gpu-vllm.*, which name the GPU. A dry run without one:
#   DEVICE=cpu SHAPE=smoke DTYPE=float32 OUTPUT=/tmp/dry benchmarks/gpu.sh
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python}
DEVICE=${DEVICE:-cuda}
SHAPE=${SHAPE:-llama3-8b}
DTYPE=${DTYPE:-bfloat16}
OUTPUT=${OUTPUT:-benchmarks/results}
EXAMPLES=${EXAMPLES:-256} # of an epoch, which is a round of training
ROUNDS=${ROUNDS:-3}
MINUTES=${MINUTES:-40} # each of the three may take so long

has() { "$PYTHON" -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('$1') is None)"; }

if [ "$DEVICE" = cuda ] && ! "$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    echo "error: torch sees no GPU here; install a CUDA build of torch, or set DEVICE=cpu SHAPE=smoke for a dry run" >&2
    exit 2
fi

peers=()
if has trl; then
    peers=(trl trl-padding-free trl-packed)
else
    echo "TRL is not installed: paft's own two ways alone; pip install 'paft[bench]'" >&2
fi
has flash_attn || echo "flash-attn is not installed: all sides attend through torch's own kernels" >&2

failed=0
timeout "${MINUTES}m" "$PYTHON" benchmarks/train_speed.py --device "$DEVICE" --shapes "$SHAPE" --dtypes "$DTYPE" \
    --peers ${peers[@]+"${peers[@]}"} --examples "$EXAMPLES" --rounds "$ROUNDS" --name gpu-train --output "$OUTPUT" || failed=1

sweep=(--device "$DEVICE" --shape "$SHAPE" --dtype "$DTYPE" --rounds "$ROUNDS" --output "$OUTPUT")
[ "$SHAPE" = smoke ] && sweep+=(--quick)
if has lm_eval; then
    timeout "${MINUTES}m" "$PYTHON" benchmarks/sweep_speed.py "${sweep[@]}" --name gpu-sweep || failed=1
else
    echo "lm-eval is not installed: no sweep beside it; pip install 'paft[bench]'" >&2
fi
if has vllm; then
    timeout "${MINUTES}m" "$PYTHON" benchmarks/vllm_speed.py "${sweep[@]}" --name gpu-vllm || failed=1
else
    echo "vLLM is not installed: no sweep with it; pip install 'paft[vllm]'" >&2
fi
exit "$failed"
