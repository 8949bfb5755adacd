"""Layers: pairs (init, apply) of pure functions made of ops; one subject a file."""

from lwps.nn import initializers
from lwps.nn.activation import elu, gelu, leaky_relu, relu, relu6, sigmoid, silu, softplus, tanh
from lwps.nn.attention import multi_head_attention
from lwps.nn.batch_norm import batch_norm
from lwps.nn.combine import residual, serial, skip
from lwps.nn.conv import conv1d, conv1d_transpose, conv2d, conv2d_transpose, depthwise_conv2d
from lwps.nn.dropout import dropout
from lwps.nn.embedding import embedding
from lwps.nn.layer import Layer, stateless
from lwps.nn.linear import linear
from lwps.nn.norm import group_norm, instance_norm, layer_norm, rms_norm
from lwps.nn.pool import avg_pool, avg_pool1d, flatten, global_avg_pool, global_max_pool, max_pool, max_pool1d
from lwps.nn.position import position_embedding
from lwps.nn.recurrent import Cell, gru, gru_cell, lstm, lstm_cell, recurrent, rnn_cell, unroll
from lwps.nn.tied import tied_embedding
from lwps.nn.transformer import transformer_block
from lwps.nn.upsample import upsample

__all__ = [
    "Cell",
    "Layer",
    "avg_pool",
    "avg_pool1d",
    "batch_norm",
    "conv1d",
    "conv1d_transpose",
    "conv2d",
    "conv2d_transpose",
    "depthwise_conv2d",
    "dropout",
    "elu",
    "embedding",
    "flatten",
    "gelu",
    "global_avg_pool",
    "global_max_pool",
    "group_norm",
    "gru",
    "gru_cell",
    "initializers",
    "instance_norm",
    "layer_norm",
    "leaky_relu",
    "linear",
    "lstm",
    "lstm_cell",
    "max_pool",
    "max_pool1d",
    "multi_head_attention",
    "position_embedding",
    "recurrent",
    "relu",
    "relu6",
    "residual",
    "rms_norm",
    "rnn_cell",
    "serial",
    "sigmoid",
    "silu",
    "skip",
    "softplus",
    "stateless",
    "tanh",
    "tied_embedding",
    "transformer_block",
    "unroll",
    "upsample",
]
