"""One small graph for every layer and every way that ONNX files write it."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from builder import case


@case((3, 9, 12))
def conv(g):
    g.project(g.conv_relu(g.conv_relu(g.x, 4, pads=[1, 1, 1, 1]), 5))


@case((4, 8, 9), opset=11, names="paths")
def conv_groups_depthwise(g):
    x = g.conv_relu(g.x, 6, group=2, pads=[1, 1, 1, 1])
    x = g.conv_relu(x, 6, group=6, strides=[2, 1], pads=[1, 1, 1, 1])
    x = g.conv_relu(x, 12, 1, group=3)
    g.project(g.conv_relu(x, 12, group=12, bias=False))


@case((2, 13, 11), opset=8, names="numbers")
def conv_dilation_stride_asymmetric(g):
    x = g.conv_relu(g.x, 4, dilations=[2, 1], pads=[2, 0, 1, 2], bias=False)
    g.project(g.conv_relu(x, 3, [3, 4], strides=[2, 3], pads=[0, 2, 1, 1], dilations=[1, 2]))


@case((3, 8, 11), opset=7)
def conv_auto_pad_same_upper(g):
    x = g.conv_relu(g.x, 4, 4, auto_pad="SAME_UPPER", strides=[2, 1])
    g.project(g.conv_relu(x, 3, 3, auto_pad="SAME_UPPER", strides=[2, 2]))


@case((3, 9, 8), opset=9)
def conv_auto_pad_same_lower(g):
    x = g.conv_relu(g.x, 4, [2, 4], auto_pad="SAME_LOWER")
    g.project(g.conv_relu(x, 3, 3, auto_pad="SAME_LOWER", strides=[2, 3]))


@case((2, 10, 7), opset=12)
def conv_auto_pad_valid(g):
    x = g.conv_relu(g.x, 4, auto_pad="VALID", strides=[2, 1])
    g.project(g.conv_relu(x, 3, 2, auto_pad="NOTSET", bias=False))


@case((2, 9, 10), opset=14)
def conv_oblong(g):
    x = g.conv_relu(g.x, 4, [1, 5], pads=[0, 2, 0, 2])
    x = g.conv_relu(x, 4, [7, 1], pads=[3, 0, 3, 0])
    g.project(g.conv_relu(x, 3, 1, strides=[2, 2]))


@case((1, 9, 11))
def conv_bias_of_one_channel(g):
    x = g.conv_relu(g.x, 1, 3)
    g.project(g.conv(x, 17, 3))


def conv_transpose(g, x, co, k, group=1, bias=True, **attrs):
    w = g.weight(g.shape(x)[1], co // group, *k)
    b = [g.weight(co, scale=0.2)] if bias else []
    return g.node("ConvTranspose", x, w, *b, group=group, **attrs)


@case((2, 7, 9))
def conv_transpose_output_padding(g):
    x = g.conv_relu(g.x, 4, strides=[2, 2], pads=[1, 1, 1, 1])
    x = g.relu(conv_transpose(g, x, 3, [3, 3], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[0, 1]))
    g.project(g.conv_relu(x, 3, 2))


@case((2, 5, 7), opset=11)
def conv_transpose_output_shape(g):
    x = g.conv_relu(g.x, 4, 1)
    x = g.relu(conv_transpose(g, x, 3, [3, 4], kernel_shape=[3, 4], strides=[2, 2], output_shape=[10, 15], bias=False))
    g.project(g.conv_relu(x, 3, strides=[2, 2]))


@case((3, 6, 7), opset=15)
def conv_transpose_groups_dilation(g):
    x = g.conv_relu(g.x, 4, 1)
    x = conv_transpose(g, x, 6, [3, 2], group=2, strides=[1, 3], pads=[1, 0, 2, 1], dilations=[2, 1])
    g.project(g.conv_relu(g.relu(x), 2))


@case((2, 5, 6), opset=11)
def conv_transpose_auto_pad(g):
    x = conv_transpose(g, g.conv_relu(g.x, 3, 1), 3, [3, 3], kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")
    g.project(g.conv_relu(x, 3))


@case((3, 9, 8))
def leaky_relu(g):
    x = g.node("LeakyRelu", g.conv(g.x, 5), alpha=0.1)
    x = g.node("LeakyRelu", g.conv(x, 4))
    g.project(x, g.conv(x, 3))


@case((3, 9, 8), opset=9)
def prelu_one_slope(g):
    x = g.node("PRelu", g.conv(g.x, 5), g.constant(np.array([[[0.25]]], np.float32)))
    x = g.node("PRelu", g.conv(x, 4), g.constant(np.array([0.3], np.float32)))
    g.project(g.conv(x, 3))


@case((3, 8, 9), opset=10, old=6)
def clip_attributes(g):
    x = g.node("Clip", g.conv(g.x, 5), min=0.0, max=1.5)
    x = g.node("Clip", g.conv(x, 4), max=0.9)
    g.project(g.conv(x, 3), g.node("Clip", g.conv(x, 3), min=-0.5))


@case((3, 8, 9), opset=11)
def clip_inputs(g):
    low, high = g.constant(np.float32(0), "low"), g.constant(np.float32(1.25), "high")
    x = g.node("Clip", g.conv(g.x, 5), low, high)
    x = g.node("Clip", g.conv(x, 4), "", high)
    x = g.node("Clip", g.conv(x, 4), low)
    g.project(x, g.conv(x, 3, 2))


@case((2, 9, 11), opset=10)
def max_pool_pads_ceil(g):
    x = g.conv_relu(g.x, 4, pads=[1, 1, 1, 1])
    x = g.node("MaxPool", x, kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1])
    x = g.node("MaxPool", g.conv_relu(x, 3, pads=[1, 1, 1, 1]), kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1)
    g.project(x, g.conv_relu(x, 3, 2))


@case((2, 11, 12), opset=12)
def max_pool_dilation(g):
    x = g.node("MaxPool", g.conv_relu(g.x, 4), kernel_shape=[2, 3], dilations=[3, 2], strides=[1, 2], pads=[1, 2, 2, 0])
    g.project(g.conv_relu(x, 3))


@case((2, 11, 14), whole=True)
def max_pool_overlap_ties(g):
    x = g.max_pool(g.conv_relu(g.x, 4), 3, 2)
    x = g.max_pool(g.conv_relu(x, 3, 2), 3, 1)
    g.project(x)


@case((2, 14, 15), opset=17, flat=True)
def max_pool_flat_ties(g):
    x = g.max_pool(g.conv(g.x, 4), 3, 2)
    g.project(x, g.conv_relu(x, 3))


@case((3, 9, 12), opset=8)
def max_pool_auto_pad(g):
    x = g.node("MaxPool", g.conv_relu(g.x, 4), kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")
    x = g.node("MaxPool", g.conv_relu(x, 4, 1), kernel_shape=[2, 2], strides=[1, 1], auto_pad="SAME_LOWER")
    g.project(g.conv_relu(x, 3, 2))


@case((3, 10, 8), opset=18)
def max_pool_default_stride_window_is_map(g):
    x = g.node("MaxPool", g.conv_relu(g.x, 4), kernel_shape=[2, 2])
    x = g.node("MaxPool", g.conv_relu(x, 4, 1), kernel_shape=[7, 5], strides=[7, 5])
    g.project(g.node("Relu", g.gemm(g.node("Flatten", x), 5)))


@case((2, 9, 10), opset=7)
def average_pool_excludes_padding(g):
    x = g.node("AveragePool", g.conv_relu(g.x, 4), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    x = g.node("AveragePool", g.conv_relu(x, 3, 1), kernel_shape=[2, 3], strides=[1, 1], pads=[0, 1, 1, 0])
    g.project(x, g.conv_relu(x, 3, 2))


@case((2, 10, 11), opset=22)
def average_pool_includes_padding(g):
    x = g.node("AveragePool", g.conv_relu(g.x, 4), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1)
    x = g.node("AveragePool", g.conv_relu(x, 3, 1), kernel_shape=[2, 2], strides=[2, 2], pads=[1, 0, 0, 0], count_include_pad=1)
    g.project(g.conv_relu(x, 3, 2))


@case((2, 10, 13), opset=11)
def average_pool_ceil(g):
    x = g.node("AveragePool", g.conv_relu(g.x, 4), kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    x = g.node("AveragePool", g.conv_relu(x, 3, 1), kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    g.project(g.conv_relu(x, 3, 2))


@case((3, 9, 7))
def global_pools(g):
    x = g.conv_relu(g.x, 5)
    both = g.node("Concat", g.node("GlobalAveragePool", x), g.node("GlobalMaxPool", x), axis=1)
    g.project(g.conv_relu(both, 6, 1))


@case((3, 8, 7), opset=13)
def reduce_mean_attribute(g):
    x = g.conv_relu(g.x, 5)
    x = g.node("ReduceMean", x, axes=[-2, -1], keepdims=0)
    g.project(g.gemm(x, 4))


@case((3, 8, 7), opset=9, names="numbers")
def reduce_mean_keeps(g):
    x = g.node("ReduceMean", g.conv_relu(g.x, 5), axes=[2, 3])
    g.project(g.conv_relu(x, 4, 1))


@case((3, 7, 8), opset=18)
def reduce_mean_input(g):
    x = g.conv_relu(g.x, 5)
    a = g.node("ReduceMean", x, g.constant(np.array([2, 3], np.int64)), keepdims=1)
    b = g.node("ReduceMean", x, g.constant(np.array([-1, -2], np.int64)), keepdims=0)
    x = g.node("Add", g.node("Flatten", a), b)
    g.project(g.gemm(x, 4))


@case((3, 8, 9))
def lrn(g):
    x = g.node("LRN", g.conv_relu(g.x, 7), size=5, alpha=0.7, beta=0.75, bias=1.3)
    x = g.node("LRN", g.conv_relu(x, 5, 2), size=3, alpha=0.2, beta=0.5)
    g.project(x, g.conv_relu(x, 3, 2))


@case((3, 7, 8), opset=14, ort=False)
def lrn_even_size(g):
    x = g.node("LRN", g.conv_relu(g.x, 6), size=4, alpha=0.9, beta=0.75, bias=2.0)
    g.project(g.conv_relu(x, 3, 2))


@case((3, 9, 8), opset=9)
def batch_norm_after_conv(g):
    x = g.relu(g.batch_norm(g.conv(g.x, 5, bias=False), epsilon=1e-3))
    x = g.batch_norm(g.conv(x, 4, group=1))
    g.project(g.conv_relu(g.relu(x), 3, 2))


@case((3, 8, 9), opset=7)
def batch_norm_spatial_attribute(g):
    x = g.relu(g.batch_norm(g.conv(g.x, 5), spatial=1, momentum=0.99, epsilon=2e-5))
    g.project(g.conv_relu(x, 3, 2))


@case((4, 8, 9), opset=14, names="paths")
def batch_norm_alone(g):
    x = g.batch_norm(g.x, training_mode=0)
    x = g.relu(g.batch_norm(g.max_pool(g.conv_relu(x, 5))))
    g.project(g.conv_relu(x, 3, 2))


@case((3, 7, 8), opset=15)
def batch_norm_of_vector(g):
    x = g.gemm(g.node("Flatten", g.conv_relu(g.x, 3)), 6)
    x = g.relu(g.batch_norm(x))
    g.project(g.gemm(x, 4))


@case((2, 6, 7))
def gemm_transposed(g):
    x = g.relu(g.gemm(g.node("Flatten", g.conv_relu(g.x, 3)), 7))
    g.project(g.gemm(x, 5, bias=False))


@case((2, 6, 7), opset=11)
def gemm_alpha_beta(g):
    x = g.node("Flatten", g.conv_relu(g.x, 3), axis=1)
    x = g.relu(g.gemm(x, 7, transposed=False, alpha=0.5, beta=2.0))
    g.project(g.gemm(x, 5, alpha=1.5))


@case((2, 6, 5), opset=9)
def gemm_scalar_bias(g):
    x = g.node("Flatten", g.conv_relu(g.x, 3))
    w = g.weight(6, g.shape(x)[1])
    x = g.relu(g.node("Gemm", x, w, g.constant(np.array([0.25], np.float32)), transB=1))
    w = g.constant(g.numbers(6, 4))
    g.project(g.node("Gemm", x, w, g.constant(g.numbers(1, 4)), beta=0.5))


@case((2, 6, 7), opset=17)
def matmul_add(g):
    x = g.node("Flatten", g.conv_relu(g.x, 3))
    x = g.relu(g.node("Add", g.node("MatMul", x, g.constant(g.numbers(g.shape(x)[1], 7, scale=0.2))), g.weight(7, scale=0.2)))
    g.project(g.node("Add", g.weight(4, scale=0.2), g.node("MatMul", x, g.constant(g.numbers(7, 4)))))


@case((2, 6, 7), opset=14)
def reshape_constant(g):
    x = g.conv_relu(g.x, 3)
    x = g.node("Reshape", x, g.constant(np.array([1, 60], np.int64)), allowzero=0)
    g.project(g.gemm(x, 5))


@case((2, 6, 7), opset=5 + 8, batch="N")
def reshape_zero_minus_one(g):
    x = g.node("Reshape", g.max_pool(g.conv_relu(g.x, 4), 2, 1), g.constant(np.array([0, -1], np.int64)))
    g.project(g.gemm(x, 5))


@case((2, 7, 6), opset=11, batch="batch_size", names="numbers")
def reshape_shape_gather(g):
    """x.view(x.size(0), -1)"""
    x = g.max_pool(g.conv_relu(g.x, 4), 2, 1)
    size = g.node("Shape", x)
    index = g.node("Constant", value=numpy_helper.from_array(np.array(0, np.int64)))
    size = g.node("Unsqueeze", g.node("Gather", size, index, axis=0), axes=[0])
    rest = g.node("Constant", value=numpy_helper.from_array(np.array([-1], np.int64)))
    x = g.node("Reshape", x, g.node("Concat", size, rest, axis=0))
    g.project(g.gemm(x, 5))


@case((2, 7, 6), opset=10, batch="N")
def reshape_shape_slice(g):
    x = g.max_pool(g.conv_relu(g.x, 4), 2, 1)
    zero, one = g.constant(np.array([0], np.int64)), g.constant(np.array([1], np.int64))
    size = g.node("Slice", g.node("Shape", x), zero, one, zero)
    x = g.node("Reshape", x, g.node("Concat", size, g.constant(np.array([-1], np.int64)), axis=0))
    g.project(g.gemm(x, 5))


@case((2, 6, 6), opset=9, batch="N")
def reshape_shape_slice_attributes(g):
    x = g.conv_relu(g.x, 4)
    size = g.node("Slice", g.node("Shape", x), axes=[0], starts=[0], ends=[1])
    x = g.node("Reshape", x, g.node("Concat", size, g.constant(np.array([64], np.int64)), axis=0))
    g.project(g.gemm(x, 5))


@case((2, 6, 7), opset=13)
def reshape_cast(g):
    x = g.conv_relu(g.x, 3)
    size = g.node("Cast", g.node("Shape", x), to=TensorProto.INT64)
    first = g.node("Gather", size, g.constant(np.array(0, np.int64)))
    first = g.node("Unsqueeze", first, g.constant(np.array([0], np.int64)))
    x = g.node("Reshape", x, g.node("Concat", first, g.constant(np.array([-1], np.int64)), axis=0))
    g.project(g.gemm(g.node("Cast", x, to=TensorProto.FLOAT), 5))


@case((3, 7, 8), opset=11)
def squeeze_attribute(g):
    x = g.node("GlobalAveragePool", g.conv_relu(g.x, 5))
    x = g.gemm(g.node("Squeeze", x, axes=[2, 3]), 6)
    x = g.conv_relu(g.node("Unsqueeze", g.relu(x), axes=[2, 3]), 4, 1)
    g.project(x)


@case((3, 7, 8), opset=13)
def squeeze_input(g):
    x = g.node("GlobalAveragePool", g.conv_relu(g.x, 5))
    x = g.gemm(g.node("Squeeze", x, g.constant(np.array([-1, 2], np.int64))), 6)
    x = g.conv_relu(g.node("Unsqueeze", g.relu(x), g.constant(np.array([2, 3], np.int64))), 4, 1)
    g.project(x)


@case((3, 7, 8), opset=7)
def dropout_attribute(g):
    x = g.node("Dropout", g.conv_relu(g.x, 5), more=["mask"], ratio=0.5)
    g.project(x, g.conv_relu(g.node("Identity", x), 3))


@case((3, 7, 8), opset=12)
def dropout_input(g):
    x = g.node("Dropout", g.conv_relu(g.x, 5), g.constant(np.float32(0.4)))
    x = g.node("Dropout", x, g.constant(np.float32(0.4)), g.constant(np.bool_(False)), more=["unused_mask"])
    g.project(g.conv_relu(x, 3))


@case((3, 8, 7))
def concat(g):
    a, b = g.conv_relu(g.x, 2, 1), g.conv_relu(g.x, 5, pads=[1, 1, 1, 1])
    x = g.node("Concat", a, g.x, b, a, axis=-3)
    g.project(x, g.conv_relu(x, 4))


@case((3, 8, 7), opset=8)
def add_and_sum(g):
    a, b = g.conv_relu(g.x, 4, 1), g.conv_relu(g.x, 4, pads=[1, 1, 1, 1])
    x = g.relu(g.node("Add", a, g.conv(b, 4, 1)))
    x = g.node("Sum", x, b, g.conv(x, 4, pads=[1, 1, 1, 1]))
    g.project(g.conv_relu(g.node("Add", x, x), 3))


@case((3, 7, 8), opset=13)
def arithmetic_with_constants(g):
    x = g.node("Sub", g.node("Div", g.x, g.constant(np.array(2.0, np.float32))), g.constant(g.numbers(1, 3, 1, 1)))
    x = g.node("Mul", g.constant(np.array([0.7], np.float32)), g.conv_relu(x, 5))
    x = g.node("Add", x, g.constant(g.numbers(5, 1, 1)))
    x = g.node("Sub", g.constant(np.array(0.5, np.float32)), x)
    x = g.node("Mul", x, g.constant(g.numbers(1, 5, 1, 1)))
    x = g.node("Div", x, g.constant(1.5 + np.abs(g.numbers(5, 1, 1))))
    g.project(x, g.conv_relu(x, 3))


@case((2, 6, 7), opset=12)
def arithmetic_on_vectors(g):
    x = g.gemm(g.node("Flatten", g.conv_relu(g.x, 3)), 6)
    x = g.node("Mul", x, g.constant(g.numbers(6)))
    x = g.node("Sub", g.constant(g.numbers(1, 6)), x)
    g.project(g.gemm(g.relu(x), 4))


@case((2, 7, 6), opset=2 + 5)
def pad_attribute(g):
    x = g.node("Pad", g.x, pads=[0, 0, 2, 1, 0, 0, 0, 3], mode="constant", value=0.5)
    x = g.node("Pad", g.conv_relu(x, 4), pads=[0, 0, 1, 1, 0, 0, 1, 1])
    g.project(g.conv_relu(x, 3))


@case((2, 7, 6), opset=11)
def pad_input(g):
    x = g.node("Pad", g.x, g.constant(np.array([0, 0, 1, 2, 0, 0, 3, 0], np.int64)), g.constant(np.float32(-1.5)))
    x = g.max_pool(g.conv_relu(x, 4), 2, 1)
    x = g.node("Pad", x, g.constant(np.array([0, 0, 1, 1, 0, 0, 0, 0], np.int64)), mode="constant")
    g.project(g.conv_relu(x, 3))


@case((2, 6, 7), opset=11)
def softmax_flat(g):
    """Before opset 13 everything from the axis on is one distribution."""
    x = g.conv_relu(g.x, 4)
    g.project(x)
    g.node("Softmax", x)


@case((2, 6, 7), opset=13)
def softmax_channels(g):
    x = g.conv(g.x, 4)
    g.project(x)
    g.node("Softmax", x, axis=1)


@case((2, 6, 7), opset=22)
def softmax_vector(g):
    x = g.project(g.gemm(g.node("Flatten", g.conv_relu(g.x, 3)), 6))
    g.node("Softmax", x, axis=-1)


@case((2, 6, 7), opset=12)
def log_softmax_flat(g):
    x = g.project(g.gemm(g.node("Flatten", g.conv_relu(g.x, 3)), 6))
    g.node("LogSoftmax", x, axis=1)


@case((2, 6, 7), opset=13)
def log_softmax_channels(g):
    x = g.project(g.conv(g.x, 4, 2))
    g.node("LogSoftmax", x, axis=-3)


@case((2, 6, 7), opset=12)
def constant_nodes(g):
    w = g.node("Constant", value=numpy_helper.from_array(g.numbers(4, 2, 3, 3, scale=0.3)), out="w")
    b = g.node("Constant", value_floats=[0.1, -0.2, 0.3, 0.05], out="b")
    x = g.relu(g.node("Conv", g.x, w, b))
    x = g.node("Mul", x, g.node("Constant", value_float=1.75))
    x = g.node("Reshape", x, g.node("Constant", value_ints=[0, -1]))
    g.project(g.gemm(x, 5))


@case((3, 8, 9), opset=7, ir=3, half="all", inputs_too=True)
def half(g):
    """Weights, input and output are float16, as SqueezeNet's half file has it; the engine computes in float32."""
    x = g.max_pool(g.conv_relu(g.x, 5), 3, 2)
    g.project(g.conv_relu(x, 4, 2))


@case((3, 7, 8), opset=13, half="all", typed=True)
def half_typed(g):
    """float16 bits in int32_data."""
    x = g.gemm(g.node("Flatten", g.conv_relu(g.x, 3)), 5)
    g.project(x)


@case((3, 7, 8), opset=13, half="inner")
def half_between_casts(g):
    x = g.node("Cast", g.x, to=TensorProto.FLOAT)
    x = g.batch_norm(g.conv(x, 4))
    x = g.conv_relu(g.relu(x), 3)
    g.node("Cast", g.project(x), to=TensorProto.FLOAT)


@case((3, 7, 8), opset=13)
def half_weights_cast(g):
    """float16 weights, each behind a Cast of its own."""
    w = g.node("Cast", g.constant(g.numbers(4, 3, 3, 3, scale=0.3).astype(np.float16)), to=TensorProto.FLOAT)
    x = g.relu(g.node("Conv", g.x, w, pads=[1, 1, 1, 1]))
    g.project(g.conv_relu(x, 3))


@case((2, 7, 9), opset=9, typed=True)
def typed_data(g):
    """Weights in float_data, not raw bytes."""
    x = g.batch_norm(g.conv(g.x, 4))
    g.project(g.gemm(g.node("Flatten", g.relu(x)), 4))


@case((2, 7, 9), opset=8, ir=3, inputs_too=True)
def weights_as_inputs(g):
    g.project(g.conv_relu(g.conv_relu(g.x, 4), 3))


@case((2, 7, 9), opset=13, batch=2)
def batch_of_two(g):
    g.project(g.gemm(g.node("Flatten", g.conv_relu(g.x, 4)), 3))


@case((2, 7, 9), opset=21, external=True)
def external_data(g):
    g.project(g.gemm(g.node("Flatten", g.conv_relu(g.x, 4)), 3))


@case((4, 9, 8), opset=18, batch="N", names="paths")
def several_outputs(g):
    a = g.conv_relu(g.x, 4)
    b = g.conv_relu(a, 3)
    g.project(b)
    g.outputs = [b, a]
