"""Training, an epoch at a time: fastmlp beside PyTorch and plain NumPy, from the same weights to the same loss."""

import peers


def bench_epoch(shape, peer, benchmark):
    """Divide by `steps` for the time of a step."""
    peers.agree(peer, shape)
    trainer = peers.PEERS[peer](shape)
    benchmark.group = f"training {shape}"
    benchmark.extra_info.update(peer=peer, steps=shape.batches)
    first = trainer.epoch()
    assert benchmark(trainer.epoch) < first
