"""Finetune: train -> adapter. LoRA with trl and peft: in 4 bit on an NVIDIA GPU, on a small Llama
without one."""
