/* The instruction sets, one row each, from the slowest to the fastest.
 *
 *   BS_ISA(name, architecture, base, compile flags, CPU features, capabilities)
 *
 *   name          as in BERTSENT_ISA and bertsent._core. Sources whose names end in _<name> are
 *                 compiled with its flags and run only on processors that have its features
 *   architecture  the only architecture it is built for, or `any` (core/isa.h)
 *   base          the row it extends: it needs that row's flags and features too. `portable` has
 *                 itself as base
 *   CPU features  see core/cpu.h
 *   capabilities  see core/isa.h
 *
 * setup.py reads these rows too (core/isa_rows.py) and accepts only rows and comments. This file
 * has no include guard; define BS_ISA before including it. */
BS_ISA(portable, any, portable, "", 0, 0)

BS_ISA(avx2, x86_64, portable, "-mavx2 -mfma -mf16c -ffp-contract=fast", AVX2 | FMA, FP32 | FUSED)

BS_ISA(avx512, x86_64, avx2,
       "-mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512",
       AVX512F | AVX512BW | AVX512DQ | AVX512VL, FP32 | FUSED)

BS_ISA(avx512_vnni, x86_64, avx512, "-mavx512vnni", AVX512_VNNI, FP32 | FUSED)

BS_ISA(avx512_bf16, x86_64, avx512_vnni, "-mavx512bf16", AVX512_BF16, FP32 | FUSED | BF16)

BS_ISA(amx, x86_64, avx512_bf16, "-mamx-tile -mamx-bf16 -mamx-int8 -mprfchw",
       AMX_TILE | AMX_BF16 | AMX_INT8, FP32 | BF16 | TILES)
