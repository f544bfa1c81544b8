"""``bertsent train --dry-run``: what a training run would take of time, memory and disk."""

import math
import os
import shutil

import numpy as np

import bertsent
from bertsent.budget import Budget
from bertsent.config import read_config
from bertsent.fitting import make_recipe
from bertsent.hub import resolve
from bertsent.labels import learn_labels
from bertsent.machine import read_memory, read_peak
from bertsent.members import is_list, member_parameters
from bertsent.memory import count_training, format_size, plan_training
from bertsent.plan import CHOSEN, MOST_MEASURED, Rung, choose, describe_plan, list_rungs
from bertsent.pretrained import load_tokenizer
from bertsent.progress import format_seconds
from bertsent.schedule import draw_seeds
from bertsent.split import Labelled, hold_out
from bertsent.survey import memory_options, survey
from bertsent.threads import resolve_n_threads

# What a run may take of the estimate: others leave the processor alone, or want it, too.
RANGE = (0.8, 1.5)
# Bytes on the disk of an entry of the vocabulary, in the files of the tokenizer, about.
ENTRY = 32


def run(args, parameters, corpus):
    """Measure, and print the table."""
    print(format_survey(look_ahead(args.output, parameters, corpus)))


def look_ahead(output, parameters, corpus):
    """What training on a corpus would take, by all members together; nothing is written.

    Returns
    -------
    dict
        As `look_at_member` gives it of the first, with ``plans`` of those that differ, ``members``,
        ``seconds`` of all together, and the most of ``memory`` and of ``disk``.
    """
    all_parameters = member_parameters(parameters)
    alike = not is_list(parameters["members"])
    found = [look_at_member(output, own, corpus) for own in all_parameters[: 1 if alike else None]]
    times = len(all_parameters) if alike else 1
    memory = max((one["memory"] for one in found), key=lambda memory: memory["model"])
    others = 4 * (len(all_parameters) - 1) * found[0]["weights"]
    return found[0] | {
        "plans": [one["plan"] for one in found],
        "members": len(all_parameters),
        "tokens": found[0]["tokens"] | {"train": [one["tokens"]["train"] for one in found]},
        "seconds": {name: times * sum(one["seconds"][name] for one in found)
                    for name in found[0]["seconds"]},
        "memory": memory | {"model": memory["model"] + others},
        "disk": max((one["disk"] for one in found), key=lambda disk: disk["total"]),
    }


def look_at_member(output, parameters, corpus):
    """The same of one member alone.

    The machine is measured on a model with random weights, which is as fast as any other.

    Parameters
    ----------
    output : str
        Where the model would be saved.
    parameters : dict
        Those of the classifier.
    corpus : Corpus

    Returns
    -------
    dict
        ``plan``, as `bertsent.plan.choose` gives it; counts of texts and tokens; ``seconds``,
        bytes of ``memory`` and ``disk``, the latter of all members; ``weights``.
    """
    budget = Budget.of(parameters["time_budget"])
    n_threads = resolve_n_threads(parameters["n_threads"])
    classifier = bertsent.BertClassifier(**parameters)
    seeds = draw_seeds(parameters["random_state"])
    train, validation = split(classifier, corpus, seeds)
    process = read_peak()
    directory = resolve(parameters["model"], weights=False)
    model = make_model(directory, parameters["pooling"], len(np.unique(corpus.train_labels)))
    tokenizer = load_tokenizer(directory, model)
    recipe = make_recipe(parameters, model.config, seeds, {}, validated=True)
    rungs = list_rungs(
        parameters, model.config["max_position_embeddings"], model.config["num_hidden_layers"]
    )
    rungs, work, rates = survey(
        rungs, model, tokenizer, recipe, parameters, train, validation,
        classifier._texts(corpus.test_texts, "test texts"), n_threads=n_threads,
        seconds=MOST_MEASURED,
    )
    plan = choose(rungs, work, rates, budget=budget.seconds, used=budget.used)
    rung = Rung(*(plan[name] for name in CHOSEN))
    seconds, job = work.seconds(rung, rates)
    part = plan["texts"] / plan["all_texts"]
    # Of fewer texts fewer are held out.
    held_out = {"texts": round(part * len(validation)),
                "tokens": round(part * job["validation_tokens"])}
    lengths, how = memory_options(rung, work, recipe, n_threads)
    parts = plan_training(model, parameters["memory_limit"], lengths, **how)
    return {
        "plan": plan,
        "limited": budget.is_limited,
        "precision": recipe.precision,
        "weights": model._flat.size,
        "texts": {"train": plan["texts"], "validation": held_out["texts"],
                  "test": len(corpus.test_texts)},
        "tokens": {"train": round(part * job["train_tokens"]),
                   "validation": held_out["tokens"], "test": job["test_tokens"]},
        "seconds": {"training": plan["training"], "evaluation": plan["evaluation"],
                    "test": seconds["test"]},
        "memory": {"process": process,
                   "model": count_training(model, parts, lengths, **how),
                   "available": read_memory()["available"]},
        "disk": count_disk(model, tokenizer, parameters, plan, output, how["keeps_best"]),
    }


def split(classifier, corpus, seeds):
    """Texts to train on and those held out, as `fit` will take them."""
    texts = classifier._texts(corpus.train_texts, "X")
    if classifier.validation_fraction is None:
        return texts, []
    _, codes = learn_labels(corpus.train_labels, len(texts))
    given = Labelled(texts, codes, rows=np.arange(len(texts)))
    held_out, kept = hold_out(texts, codes, classifier.validation_fraction, seeds.split)
    return given.take(kept).texts, given.take(held_out).texts


def make_model(directory, pooling, n_classes):
    """A model with random weights, of the shape of the one in a directory."""
    config = read_config(directory)
    config["id2label"] = {str(code): f"LABEL_{code}" for code in range(n_classes)}
    config.pop("num_labels", None)
    if pooling is not None:
        config["classifier_pooling"] = pooling
    return bertsent.BertForSequenceClassification.from_config(config, random_state=0)


def count_disk(model, tokenizer, parameters, plan, output, keeps_best):
    """Bytes of the output and of checkpoints, how many of these there will be, and what is free."""
    members = parameters["members"]
    output_size = 4 * members * model._flat.size + ENTRY * tokenizer.vocab_size + 8 * plan["texts"]
    found = {"output": output_size, "checkpoint": 0, "checkpoints": 0}
    if parameters["checkpoint_dir"] is not None:
        every = parameters["checkpoint_every"]
        written = plan["epochs"] if every is None else math.ceil(plan["steps"] / every)
        kept = min(written, parameters["checkpoint_keep"])
        # The oldest goes when the newest is complete.
        found["checkpoints"] = members * kept + (written > kept)
        trained = model._trained(plan["freeze_layers"]).size
        found["checkpoint"] = 4 * (3 + keeps_best) * trained
    where = os.path.realpath(os.path.expanduser(output))
    while not os.path.exists(where):
        where = os.path.dirname(where)
    return found | {"total": output_size + found["checkpoints"] * found["checkpoint"],
                    "free": shutil.disk_usage(where).free}


def _rows_of(found):
    """Tokens and steps, of each member if they differ."""
    tokens, plans = found["tokens"], found["plans"]
    for number, (plan, train) in enumerate(zip(plans, tokens["train"], strict=True), 1):
        mine = f"member {number}: " if len(plans) > 1 else ""
        yield "tokens", (f"{mine}{train:,} an epoch, {tokens['validation']:,} held out, "
                         f"{tokens['test']:,} to test, at max_length={plan['max_length']}")
        each = found["members"] > 1 and len(plans) == 1
        yield "steps", (f"{mine}{plan['steps']:,} (epochs={plan['epochs']}) in {found['precision']}"
                        + (f", for each of {found['members']} members" if each else "")
                        + f"; evaluations: {plan['evaluations']}")


def format_survey(found):
    """All of it as a table."""
    plan, texts = found["plan"], found["texts"]
    seconds, memory, disk = found["seconds"], found["memory"], found["disk"]
    total = sum(seconds.values())
    low, high = (factor * total for factor in RANGE)
    # A budget ends training in time, but not the test after it.
    high = min(high, plan["budget"] - plan["used"] + RANGE[1] * seconds["test"])
    available = memory["available"]
    rows = [
        ("texts", f"{texts['train']:,} to train on, {texts['validation']:,} held out, "
                  f"{texts['test']:,} to test"),
        *_rows_of(found),
        ("time", f"{format_seconds(total)} ({format_seconds(low)} to {format_seconds(high)}): "
                 f"{format_seconds(seconds['training'])} training, "
                 f"{format_seconds(seconds['evaluation'])} evaluation, "
                 f"{format_seconds(seconds['test'])} testing"),
        ("memory", f"{format_size(memory['process'] + memory['model'])}: "
                   f"{format_size(memory['process'])} Python and the texts, "
                   f"{format_size(memory['model'])} model and training"
                   + (f"; {format_size(available)} available" if available else "")),
        ("disk", f"{format_size(disk['total'])}: {format_size(disk['output'])} output"
                 + (f", checkpoints up to {disk['checkpoints']} x "
                    f"{format_size(disk['checkpoint'])}" if disk["checkpoints"] else "")
                 + f"; {format_size(disk['free'])} free"),
    ]
    lines = ["", "dry run, nothing is trained or written; it would take about", ""]
    lines += [f"{name:<9}{text}" for name, text in rows]
    if found["limited"]:
        lines += ["", describe_plan(plan)]
    return "\n".join(lines)
