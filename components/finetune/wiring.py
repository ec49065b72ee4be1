"""First weights of the made-on-the-spot base: two layers start as the circuit that copies.

A transformer that has seen plain text for seconds cannot copy, and the circuit that can (a head that looks one token
back feeding a head that looks for what followed the present token: Olsson et al., "In-context Learning and Induction
Heads", 2022) takes minutes to appear by itself on a CPU. As in mimetic initialisation (Trockman and Kolter, 2023) the
weights start near it instead. Which tokens exist plays no part, so nothing about any text is put in by hand.
"""

from typing import Any

REACH = 6.0  # size of the biases that make a head look back by a fixed distance
SHARP = 2.5  # scale of queries and keys of the matching heads
WRITE = 0.1  # scale of what the looking-back heads write: about the size of an embedding
FAST, SLOW = 0.03, 150.0  # rotary frequencies above FAST tell neighbours apart; a turn over SLOW tokens is too quick


def wire(model: Any, distances: tuple[int, int, int, int] = (1, 1, 2, 2)) -> None:
    """Set layer 0 to look one and two tokens back and layer 1 to find what followed the same tokens before.

    `model` is a LlamaForCausalLM with attention biases, tied embeddings and as many heads as `distances`.
    """
    import torch

    config = model.config
    width, half = config.head_dim, config.head_dim // 2
    frequency = config.rope_parameters["rope_theta"] ** (-torch.arange(half) / half)
    slow = (frequency * SLOW < 1.0).repeat(2)[:, None]  # the pairs in which tokens can be compared at any distance
    even = (torch.arange(width) % 2 == 0)[:, None]
    read = [_orthogonal(config.hidden_size, width).T for _ in range(2)]  # of a token, each half of the hidden size
    write = [_orthogonal(config.hidden_size, width) for _ in distances]  # where each looking-back head writes it
    with torch.no_grad():
        for layer in model.model.layers:
            layer.mlp.down_proj.weight.zero_()  # what is not wired starts silent
            layer.self_attn.o_proj.weight.zero_()
        back, match = (model.model.layers[index].self_attn for index in (0, 1))
        for head, distance in enumerate(distances):
            rows, side = slice(head * width, (head + 1) * width), head % 2
            near = REACH * (frequency > FAST)
            back.q_proj.weight[rows] *= 0.1
            back.k_proj.weight[rows] *= 0.1
            # the score of a token d back is a sum of cos(frequency * (d - distance)): greatest at that distance
            back.q_proj.bias[rows] = torch.cat(
                [near * torch.cos(frequency * distance), -near * torch.sin(frequency * distance)]
            )
            back.k_proj.bias[rows] = torch.cat([near, torch.zeros(half)])
            back.v_proj.weight[rows] = read[side]
            back.o_proj.weight[:, rows] = WRITE * write[head]
            wanted, offered = read[side], write[side].T  # this token, and the one before the candidate
            if head >= 2:  # half of the dimensions compare the token before this one as well
                wanted = torch.where(even, read[side], write[side].T)
                offered = torch.where(even, write[side].T, write[head].T)
            match.q_proj.weight[rows] = SHARP * wanted * slow
            match.k_proj.weight[rows] = SHARP * offered * slow
            match.v_proj.weight[rows] = read[side]
            match.o_proj.weight[:, rows] = read[side].T


def _orthogonal(rows: int, columns: int) -> Any:
    import torch

    return torch.linalg.qr(torch.randn(rows, columns))[0]
