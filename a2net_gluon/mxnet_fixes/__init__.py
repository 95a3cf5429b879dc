"""Private calls and workarounds of MXNet 1.9.1, each behind one function.

Every other module uses public MXNet and these functions. tests/test_mxnet_fixes.py shows each fault in plain MXNet: a
test that fails with another release tells that its workaround can go.
"""

from a2net_gluon.mxnet_fixes.blocks import RewritableBlock, import_symbol_block, symbol_block
from a2net_gluon.mxnet_fixes.data import (
    awaited_batch,
    close_worker_pool,
    memory_of,
    prefetching_iterator,
    take_worker_processes,
)
from a2net_gluon.mxnet_fixes.files import output_shapes, read_arrays, read_symbol, save_arrays, unpickled_array
from a2net_gluon.mxnet_fixes.layouts import (
    FUSED_BN_RELU,
    Array,
    ClipBatchNorm,
    copy_to_plain_layout,
    counts_values,
    divides_by_zero,
    has_onednn_layout,
)
from a2net_gluon.mxnet_fixes.parameters import (
    has_values,
    load_parameter,
    mean_over_devices,
    named_parameters,
    replace_values,
    wait_for_running_statistics,
)
from a2net_gluon.mxnet_fixes.processes import meet, scale_gradients, send_first_values
from a2net_gluon.mxnet_fixes.training import (
    all_finite,
    create_optimizer_state,
    optimizer_states,
    set_optimizer_states,
    trained_contexts,
    trained_parameters,
)

__all__ = [
    "FUSED_BN_RELU",
    "Array",
    "ClipBatchNorm",
    "RewritableBlock",
    "all_finite",
    "awaited_batch",
    "close_worker_pool",
    "copy_to_plain_layout",
    "counts_values",
    "create_optimizer_state",
    "divides_by_zero",
    "has_onednn_layout",
    "has_values",
    "import_symbol_block",
    "load_parameter",
    "mean_over_devices",
    "meet",
    "memory_of",
    "named_parameters",
    "optimizer_states",
    "output_shapes",
    "prefetching_iterator",
    "read_arrays",
    "read_symbol",
    "replace_values",
    "save_arrays",
    "scale_gradients",
    "send_first_values",
    "set_optimizer_states",
    "symbol_block",
    "take_worker_processes",
    "trained_contexts",
    "trained_parameters",
    "unpickled_array",
    "wait_for_running_statistics",
]
