"""What the compilers made of the kernels of the CPU, and of the GPU, which none is needed for."""

import importlib.util

from asv_runner.benchmarks.mark import SkipNotImplemented

from benchmarks import qualities
from benchmarks.common import DTYPES


class Vectors:
    """Width of the vectors that a hot loop lost, and what it still calls: none of either."""

    params, param_names = qualities.Vectors.params, qualities.Vectors.param_names

    def track_lost_width(self, loop, dtype):
        from xent_numba.codegen import assembly

        # To asv less is better.
        return assembly.machine_width() - qualities.found(loop, dtype).width

    def track_libm(self, loop, dtype):
        from xent_numba.codegen import assembly

        qualities.found(loop, dtype)
        return len(assembly.libm_functions(loop, dtype))

    track_libm.unit = "functions of libm"
    track_lost_width.unit = "bits"


class DeviceCode:
    """What NVVM and ptxas make of numba_cuda for sm_90, which need no GPU: exact."""

    params = (
        ("sigmoids", "sum of cross entropies", "sum of logistic losses", "gradients"),
        DTYPES,
    )
    param_names = ("pass", "dtype")

    def setup(self, name, dtype):
        if importlib.util.find_spec("numba_cuda") is None:
            raise SkipNotImplemented("numba-cuda is not installed")
        from xent_numba.codegen import ptx

        if reason := ptx.missing():
            raise SkipNotImplemented(reason)
        source = ptx.pass_ptx(**ptx.PASSES[name], dtype=dtype)
        self.found = ptx.assembled(source)
        self.samples = ptx.samples_of_a_tile(dtype)

    def track_registers(self, name, dtype):
        return self.found.registers

    def track_local_memory(self, name, dtype):
        return self.found.local_bytes

    def track_instructions(self, name, dtype):
        return len(self.found.main_loop) / self.samples

    def track_double_instructions(self, name, dtype):
        return self.found.double_instructions / self.samples

    def track_loads(self, name, dtype):
        # Loads of less than 16 bytes are more loads, and to asv less is better.
        return self.found.loads.total() / self.samples

    track_registers.unit = "registers per thread"
    track_local_memory.unit = "bytes per thread"
    track_instructions.unit = "instructions per sample"
    track_double_instructions.unit = "instructions per sample"
    track_loads.unit = "loads per sample"
