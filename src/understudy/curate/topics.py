"""What the prompts of a set are about: clusters, each named by its most typical words.

Prompts become TF-IDF vectors, reduced by a singular value decomposition (latent semantic analysis:
Deerwester et al., 1990) and grouped by k-means in small batches (Sculley, "Web-scale k-means
clustering", 2010), all by scikit-learn on one thread, so that one seed gives one result.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

WORD = r"(?u)\b[^\W\d_]{2,}\b"
LONGEST = 2_000  # characters of a prompt that count
WORDS = 20_000  # of the vocabulary, the most frequent
DIMENSIONS = 64
ENOUGH = 100  # prompts from which on a word in more than half of them tells nothing
NAME_WORDS = 3
EXAMPLE = 200  # characters


def topics(prompts: Sequence[str], count: int, seed: int) -> list[dict[str, Any]]:
    """At most `count` topics, the largest first.

    Returns:
        For each `name` (its words of the highest mean TF-IDF over that of all prompts), `share` of
        the prompts, and as `example` the beginning of the prompt nearest to its centre. Prompts
        without a word of the vocabulary are in no topic.
    """
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize
    from threadpoolctl import threadpool_limits  # scikit-learn's

    vectorizer = TfidfVectorizer(
        token_pattern=WORD,
        stop_words="english",
        max_features=WORDS,
        max_df=0.5 if len(prompts) >= ENOUGH else 1.0,
        sublinear_tf=True,
        dtype=np.float32,
    )
    try:
        weights = vectorizer.fit_transform(prompt[:LONGEST] for prompt in prompts)
    except ValueError:  # not one word is left
        return []
    told = np.flatnonzero(weights.getnnz(axis=1))
    weights = weights[told]
    words = vectorizer.get_feature_names_out()
    with threadpool_limits(1):
        if min(weights.shape) > DIMENSIONS:
            reduce = TruncatedSVD(DIMENSIONS, random_state=seed)
            points = normalize(reduce.fit_transform(weights))
        else:
            points = weights.toarray()
        count = min(count, len(np.unique(points.round(5), axis=0)))
        means = MiniBatchKMeans(count, n_init=3, random_state=seed).fit(points)
    usual = np.asarray(weights.mean(axis=0)).ravel()
    found = []
    for cluster in range(count):
        members = np.flatnonzero(means.labels_ == cluster)
        if not len(members):
            continue
        typical = np.asarray(weights[members].mean(axis=0)).ravel()
        central = members[np.argmax(points[members] @ means.cluster_centers_[cluster])]
        found.append(
            {
                "name": _name(words, typical, typical - usual),
                "share": round(len(members) / len(prompts), 4),
                "example": prompts[told[central]][:EXAMPLE],
            }
        )
    return sorted(found, key=lambda topic: (-topic["share"], topic["name"]))


def _name(words: Sequence[str], typical: NDArray[Any], above: NDArray[Any]) -> str:
    """The words that are the most typical of a cluster, in alphabetical order where equally so."""
    order = np.argsort(-above.round(6), kind="stable")  # the vocabulary is in that order
    return ", ".join(words[at] for at in order[:NAME_WORDS] if typical[at] > 0)
