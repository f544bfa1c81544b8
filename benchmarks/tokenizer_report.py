"""Tables and plot of the tokenizer comparison."""

import statistics

WIDTH = 24


def seconds(sample, clock, threads=1):
    return sample["cpu"] / threads if clock == "cpu" else sample["wall"]


def summarize(result, clock):
    """Add median, minimum and maximum rate and the ratio to `tokenizers` to a result."""
    times = {
        name: [seconds(s, clock, result["threads"]) for s in samples]
        for name, samples in result["samples"].items()
    }
    base = times.get("tokenizers")
    result["summary"] = {}
    for name, some in times.items():
        if not some:
            continue
        mb = [result["bytes"] / 1e6 / t for t in some]
        row = {"median": statistics.median(mb), "least": min(mb), "best": max(mb)}
        row["texts_per_second"] = result["count"] / statistics.median(some)
        if base:
            row["ratio"] = statistics.median(b / t for b, t in zip(base, some, strict=False))
        result["summary"][name] = row


def print_rates(result, clock):
    cut = f", max_length {result['max_length']}" if result["max_length"] else ""
    threads = "1 thread" if result["threads"] == 1 else f"{result['threads']} threads"
    if clock == "cpu" and result["threads"] > 1:
        threads += f" (CPU time / {result['threads']}: as if all were busy to the end)"
    print(f"\n{result['texts']}, {result['count']:,} texts, {result['bytes'] / 1e6:.2f} MB, "
          f"{threads}{cut}")  # fmt: skip
    if cut:
        print("  MB/s of the whole texts given: NOT ALL READ")
    print(f"  {'':{WIDTH}}{'MB/s':>9}  {'least - best':>17} {'texts/s':>10} "
          f"{'x tokenizers':>13} {'equal ids':>10}")  # fmt: skip
    for name, samples in result["samples"].items():
        row = result["summary"].get(name)
        if row is None:
            print(f"  {name:{WIDTH}}  failed: {result['failures'].get(name, '?')}")
            continue
        ratio = f"{row['ratio']:.1f}" if "ratio" in row else "-"
        equal = f"{result['equal'][name]:.2%}" if name in result["equal"] else "-"
        few = f"  ({len(samples)} run only)" if len(samples) == 1 else ""
        print(f"  {name:{WIDTH}}{row['median']:9.1f}  {row['least']:8.1f} -{row['best']:7.1f} "
              f"{row['texts_per_second']:10,.0f} {ratio:>13} {equal:>10}{few}", flush=True)
    for name, why in result["failures"].items():
        if name not in result["samples"]:
            print(f"  {name:{WIDTH}}  failed: {why}")


def print_scaling(results, clock):
    """Print the ratio of the rates of two threads and one."""
    if clock == "cpu":
        print("\ntwo threads to one: not told by CPU time")
        return
    print("\ntwo threads to one")
    pairs = {}
    for r in results:
        key = r["texts"] + (f", max_length {r['max_length']}" if r["max_length"] else "")
        for name, row in r["summary"].items():
            pairs.setdefault(key, {}).setdefault(name, {})[r["threads"]] = row["median"]
    for key, sides in pairs.items():
        told = [f"{n} {v[2] / v[1]:.2f}" for n, v in sides.items() if len(v) == 2]
        print(f"  {key:{WIDTH}} {', '.join(told)}")


def _spread(values, digits=1):
    values = [v for v in values if v is not None]
    if not values:
        return "-"
    return (f"{statistics.median(values):.{digits}f} "
            f"({min(values):.{digits}f}-{max(values):.{digits}f})")  # fmt: skip


def print_fresh(record, clock):
    print("\nfresh process on one thread, IMDB: MB/s of the first and the second run, and MB of "
          "memory:\nimports, tokenizer, peak beyond the texts in the first run, kept after two")
    for name, some in record["samples"].items():
        if not some:
            print(f"  {name:{WIDTH}}  failed: {record['failures'].get(name)}")
            continue
        rate = [
            _spread([record["bytes"] / 1e6 / seconds(s[which], clock) for s in some])
            for which in ("first", "second")
        ]
        known = some[0]["start"]["bare"] is not None
        grown = [
            [s["start"]["imported"] - s["start"]["bare"] for s in some],
            [s["start"]["built"] - s["start"]["imported"] for s in some],
            [s["after_first"]["peak"] - s["loaded"]["now"] for s in some],
            [s["after_second"]["now"] - s["loaded"]["now"] for s in some],
        ] if known else [[]] * 4  # fmt: skip
        memory = "  ".join(f"{_spread(v, 0):>14}" for v in grown)
        print(f"  {name:{WIDTH}} first {rate[0]:>20}  second {rate[1]:>20}  memory {memory}")


def print_builds(record, clock):
    which = 1 if clock == "cpu" else 0
    print("\nbuilding, ms: from files, from a vocabulary in memory")
    for name, some in record["samples"].items():
        if not some:
            print(f"  {name:{WIDTH}}  failed: {record['failures'].get(name)}")
            continue
        told = [
            _spread([1e3 * s[how][which] for s in some if how in s])
            for how in ("files", "vocabulary")
        ]
        note = "  (loads a compiled automaton, builds none)" if name == "blingfire" else ""
        print(f"  {name:{WIDTH}} {told[0]:>22} {told[1]:>22}{note}")
    print("\nlinearity, CPU time: ms of n characters; times of 2n and 4n to it", flush=True)


def print_linearity(row):
    print(f"  {row['texts']}, n = {row['n']:,}")
    for name, at in row["seconds"].items():
        told = "  ".join(f"{f}n x{at[f] / at[1]:.2f}" for f in (2, 4) if f in at and 1 in at)
        first = f"{1e3 * at[1]:10.2f} ms" if 1 in at else f"{'-':>13}"
        print(f"    {name:{WIDTH}} {first}  {told}")
    for name, why in row["failures"].items():
        print(f"    {name:{WIDTH}} failed: {why}")


def plot(record, path):
    """Plot the rates on one thread; for the reviews, also on two threads and truncated."""
    try:
        import matplotlib
    except ImportError:
        print("no plot: matplotlib is not installed")
        return
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    whole = [r for r in record["rates"] if r["threads"] == 1 and not r["max_length"]]
    cut = [r for r in record["rates"] if r["texts"] == "IMDB"]
    cut.sort(key=lambda r: (r["max_length"] or 0, r["threads"]))
    names = list(whole[0]["samples"])
    colors = dict(zip(names, ["#c0392b", "#34495e", "#2980b9", "#7fb3d5", "#95a5a6"], strict=False))
    fig, axes = plt.subplots(2, 1, figsize=(9, 6.6), layout="constrained")

    def bars(axis, rows, labels):
        wide = 0.8 / len(names)
        for k, name in enumerate(names):
            for i, row in enumerate(rows):
                at = row["summary"].get(name)
                x = i + (k - (len(names) - 1) / 2) * wide
                if at is None:
                    axis.annotate("x", (x, 0), xycoords=("data", "axes fraction"), ha="center",
                                  color=colors[name], fontsize=8)  # fmt: skip
                    continue
                error = [[at["median"] - at["least"]], [at["best"] - at["median"]]]
                axis.bar(x, at["median"], wide * 0.92, color=colors[name], yerr=error,
                         error_kw={"lw": 0.7}, label=name if i == 0 else None)  # fmt: skip
        axis.set_yscale("log")
        axis.set_xticks(range(len(rows)), labels, fontsize=8)
        axis.set_ylabel("MB/s (log)")
        axis.grid(axis="y", lw=0.3)
        axis.set_axisbelow(True)

    bars(axes[0], whole, [r["texts"].replace(" ", "\n", 1) for r in whole])
    clock = "wall clock" if record["clock"] == "wall" else "CPU time"
    axes[0].set_title(f"Whole texts, one thread ({record['machine']['processor']}, {clock}, "
                      f"median and range of {record['runs']})", fontsize=9)  # fmt: skip
    axes[0].legend(fontsize=8, ncols=len(names))
    axes[0].margins(y=0.25)
    label = {1: "1 thread", 2: "2 threads"}
    bars(axes[1], cut, [
        f"{label[r['threads']]}\n" + (f"max_length {r['max_length']}" if r["max_length"] else "all")
        for r in cut
    ])  # fmt: skip
    axes[1].set_title("IMDB reviews; with max_length, MB/s of the whole texts, not all of which "
                      "are read", fontsize=9)  # fmt: skip
    fig.savefig(path, dpi=110)
    plt.close(fig)
