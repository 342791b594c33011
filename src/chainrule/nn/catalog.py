"""Every kind of layer, by its name: model files, exports and traces look them up here."""

from chainrule.nn.embeddings import Lookup, Periodic, PiecewiseLinear, Unclip
from chainrule.nn.layers import Activation, BatchNorm, Bounded, Dense, Dropout, Layer, LayerNorm, Residual, Scale

LAYERS: dict[str, type[Layer]] = {
    layer.__name__: layer
    for layer in (
        Dense, Activation, Scale, Bounded, Dropout, LayerNorm, BatchNorm, Residual,
        PiecewiseLinear, Periodic, Lookup, Unclip,
    )
}  # fmt: skip
