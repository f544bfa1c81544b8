"""Upload a classifier to the Hugging Face hub."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertsent.classifier.model_card import check_evaluation, write_card
from bertsent.files import CARD_FILE, CARD_MARKER, CLASSIFIER_FILES

if TYPE_CHECKING:
    from bertsent.classifier.base import BertEstimator
    from bertsent.classifier.evaluation import Evaluation

__all__ = ["push_to_hub"]


def push_to_hub(
    estimator: BertEstimator,
    repo_id: str,
    *,
    private: bool | None = None,
    evaluation: Evaluation | None = None,
    int8: bool = False,
    commit_message: str | None = None,
    token: str | bool | None = None,
) -> str:
    """Upload a fitted estimator; see `BertClassifier.push_to_hub`."""
    from huggingface_hub import HfApi

    from bertsent.classifier.base import predictor

    ready = predictor(estimator)
    ready.check()
    check_evaluation(ready, evaluation)
    with tempfile.TemporaryDirectory(prefix="bertsent-") as folder:
        # All that can fail here comes before anything is created on the hub.
        estimator.save_files(folder, int8=int8)
        card = write_card(ready, repo_id, evaluation, int8=int8)
        api = HfApi(token=token)
        address = api.create_repo(repo_id, private=private, exist_ok=True)
        if address.repo_id != repo_id:  # the owner is added
            repo_id = address.repo_id
            card = write_card(ready, repo_id, evaluation, int8=int8)
        if private and not api.repo_info(repo_id).private:
            raise ValueError(
                f"{repo_id} exists and is public, but private=True was asked for; nothing was "
                "uploaded. Make it private in its settings, or choose another name"
            )
        if _has_card_of_a_person(api, repo_id):
            (Path(folder) / CARD_FILE).unlink()
        else:
            (Path(folder) / CARD_FILE).write_text(card, encoding="utf-8")
        api.upload_folder(
            repo_id=repo_id, folder_path=folder,
            commit_message=commit_message or "Upload a model with bertsent",
            # Files of a model that was there before, such as those of further members.
            delete_patterns=sorted(CLASSIFIER_FILES - set(os.listdir(folder))),
        )
    return str(address)


def _has_card_of_a_person(api: Any, repo_id: str) -> bool:
    """Return whether the hub has a model card that bertsent did not write."""
    if not api.file_exists(repo_id, CARD_FILE):
        return False
    path = api.hf_hub_download(repo_id, CARD_FILE)
    return CARD_MARKER not in Path(path).read_text(encoding="utf-8")
