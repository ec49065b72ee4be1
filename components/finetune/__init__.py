"""Finetune: train -> adapter. LoRA with trl and peft, in 4 bits on a GPU."""
