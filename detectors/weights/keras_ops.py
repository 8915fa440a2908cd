"""What a function of TensorFlow does that a Keras 2 configuration names as an operation between layers.

In goes the public name of a function, class or operator, out comes how bad it is to find it there, None for what only computes.
Keras 2 keeps `tf.math.add(x, y)` as a layer `TFOpLambda` with `{"function": "math.add"}`, looks the name up in TensorFlow's own
table of public names when the model is loaded, and calls it with what the configuration says. The table has all of TensorFlow,
so `load_library` and `io.gfile.rmtree` run as well as `math.add`.

    raw_ops.X                                             as the operator X (`safety.tf_effects`)
    names that load, read, write, connect or run code     high
    names in the groups of functions that compute         nothing
    any other name                                        medium

Law (has a test of the same name):
    what touches files, network, processes or Python is never harmless.

Source: tf_keras/src/layers/core/tf_op_layer.py, tf_keras 2.20; tensorflow/python/util/tf_export.py, TensorFlow 2.21.
"""

from __future__ import annotations

import re

from detectors.facts import Severity
from detectors.safety.tf_effects import Effect, operator

HARMLESS = frozenset({Effect.PURE, Effect.MEMORY})

TOUCHING = re.compile(
    r"(?:.*\.)?(?:load\w*|\w+_load|save\w*|\w+_save|write_\w+|read_\w+|\w+_file|\w+_files|match_filenames_once|py_func\w*"
    r"|numpy_function|import_graph_def|import_meta_graph|wrap_function|rpc_\w+|register_filesystem_plugin|get_file|\w+_checkpoint"
    r"|fixed_unigram_candidate_sampler|extract_archive|summary_iterator|tf_record_iterator|create_file_writer|convert_saved_model\w*|write_bytecode"
    r"|\w*(?:Reader|Writer|RecordDataset|Server|Client|Saver|Builder|FileInitializer|GFile))"
    r"|(?:.*\.)?(?:gfile|saved_model|lite|profiler|python_io|service|cluster_resolver|rpc|coordinator|client|server)\..*"
)
"""Public names, without `compat.v1`, of what loads programs, touches files, connects or runs code."""

COMPUTING = frozenset(
    "math nn linalg image strings signal sparse ragged random bitwise dtypes sets audio manip spectral quantization"
    " math.special nn.experimental experimental.numpy experimental.numpy.random random.experimental random.stateless"
    " linalg.experimental ragged.experimental __operators__ keras.activations keras.backend keras.losses keras.metrics"
    " keras.ops".split()
)
"""Groups of functions that compute."""

ALONE = frozenset(
    "abs acos acosh add add_n angle argmax argmin argsort as_string asin asinh atan atan2 atanh batch_to_space bitcast"
    " boolean_mask broadcast_dynamic_shape broadcast_static_shape broadcast_to case cast clip_by_global_norm clip_by_norm"
    " clip_by_value complex concat cond constant convert_to_tensor cos cosh cumsum divide div div_no_nan dynamic_partition"
    " dynamic_stitch edit_distance eig eigvals einsum ensure_shape equal exp expand_dims extract_volume_patches eye fill"
    " fingerprint floor floordiv floormod foldl foldr gather gather_nd greater greater_equal guarantee_const hessians"
    " histogram_fixed_width histogram_fixed_width_bins identity identity_n imag is_tensor less less_equal linspace log log1p"
    " log_sigmoid lgamma logical_and logical_not logical_or logical_xor make_ndarray map_fn matmul matrix_square_root maximum"
    " meshgrid minimum mod multiply negative no_op nondifferentiable_batch_function norm not_equal one_hot ones ones_like pad"
    " parallel_stack pow random_index_shuffle range rank real realdiv reciprocal recompute_grad reduce_all reduce_any"
    " reduce_join reduce_logsumexp reduce_max reduce_mean reduce_min reduce_prod reduce_std reduce_sum reduce_variance repeat"
    " required_space_to_batch_paddings reshape reverse reverse_sequence roll round rsqrt saturate_cast scalar_mul scan"
    " scatter_nd searchsorted segment_sum sequence_mask shape shape_n sigmoid sign sin sinh size slice softmax sort"
    " space_to_batch space_to_batch_nd split sqrt square squared_difference squeeze stack stop_gradient strided_slice"
    " string_to_hash_bucket string_to_number substr subtract switch_case tan tanh tensor_scatter_nd_add tensor_scatter_nd_max"
    " tensor_scatter_nd_min tensor_scatter_nd_sub tensor_scatter_nd_update tensordot tile to_float timestamp transpose"
    " truediv truncatediv truncatemod tuple type_spec_from_value unique unique_with_counts unravel_index unstack"
    " vectorized_map where while_loop zeros zeros_like".split()
)
"""Functions that compute and stand in no group."""

IN_MIXED_GROUPS = re.compile(
    r"io\.(?!\w+_proto)(?:decode|encode|parse|serialize|deserialize|extract|is)_\w+|(?:debugging\.)?(?:assert_\w+|Assert)"
    r"|debugging\.(?:check_numerics|is_\w+)"
)
"""What computes in groups that hold other things as well; functions for messages may read their description from a file."""

CLASSES = frozenset("RaggedTensor SparseTensor IndexedSlices Tensor TensorShape TensorSpec RaggedTensorSpec Variable".split())
"""Classes whose methods put tensors together."""

PLAIN_NAME = re.compile(r"[A-Za-z]\w*", re.ASCII)


def of_function(symbol: str) -> Severity | None:
    """Return how bad it is that a layer calls the function with the public name *symbol*."""
    name = symbol.removeprefix("tf.").removeprefix("compat.").removeprefix("v1.").removeprefix("v2.")
    group, _, last = name.rpartition(".")
    if group == "raw_ops":
        return of_operator(last)
    if TOUCHING.fullmatch(name):
        return Severity.HIGH
    return None if group in COMPUTING or name in ALONE or IN_MIXED_GROUPS.fullmatch(name) else Severity.MEDIUM


def of_operator(name: str) -> Severity | None:
    """Return how bad it is that a layer runs the operator *name*."""
    known = operator(name.encode("utf-8", "surrogatepass"))
    if known is None:
        return Severity.MEDIUM
    return None if known.effect in HARMLESS else Severity.HIGH


def of_method(symbol: str, method: str) -> Severity | None:
    """Return how bad it is that a layer calls *method* of the class with the public name *symbol*."""
    if symbol.rpartition(".")[2] in CLASSES:
        return of_attribute(method)
    return of_function(symbol) or Severity.MEDIUM


def of_attribute(name: str) -> Severity | None:
    """Return how bad it is that a layer asks its input for the attribute *name*: those with underscores lead anywhere."""
    return None if PLAIN_NAME.fullmatch(name) else Severity.HIGH
