"""
Sparse embeddings that are cheap to search
==========================================

Search over sparse embeddings costs a multiplication wherever query and document are both not
zero. A penalty made for that count beats L1; weighted by the words' idf it beats itself where
queries run without a model.
"""

# %%
# Find the other half
# -------------------
# 5000 posts of the 20 Newsgroups are cut into halves. The first half is a document, the second a
# query that should find it. An encoder turns word counts into sparse embeddings over the same
# 3000 words; it is trained on 4000 posts and searched with the other 1000.
import matplotlib.pyplot as plt
import torch
from sparse_retrieval import newsgroup_halves, train_and_retrieve

from gossamer.nn import flops_penalty
from gossamer.report.plots.style import PALETTE, quiet

torch.set_num_threads(1)
halves = newsgroup_halves()
idf = halves.idf
order = idf.argsort()
print("small idf:", ", ".join(halves.words[i] for i in order[:6]))
print("large idf:", ", ".join(halves.words[i] for i in order[-6:]))


def search(name, penalty, strengths, encode_queries):
    results = []
    for strength in strengths:
        result = train_and_retrieve(
            halves, penalty, strength, encode_queries=encode_queries, n_steps=150
        )
        print(f"{name} {strength:g}: recall {result.recall:.3f}, {result.cost}")
        results.append(result)
    return results


# %%
# Against L1
# ----------
# Both halves pass the encoder (Paria and others, 2020). L1 reduces the number of non-zeros but
# leaves them in few dimensions, where everything meets everything. The squares of
# :func:`gossamer.nn.flops_penalty` spread them: more non-zeros for fewer multiplications.
encoded = {
    "L1": search("L1", lambda a: a.abs().sum(dim=1).mean(), [0.01, 0.03, 0.1], True),
    "FLOPs": search("FLOPs", flops_penalty, [0.3, 1.0, 3.0], True),
}

# %%
# Queries without a model
# -----------------------
# A query is now the idf of its words; only documents are encoded (Geng and others, 2024). Words
# that every query has are worth less and cost more: dividing by idf says so.
plain = {
    "FLOPs": search("FLOPs", flops_penalty, [0.3, 3.0, 30.0], False),
    "FLOPs, idf-aware": search(
        "idf-aware", lambda a: flops_penalty(a, weights=1 / idf), [3.0, 30.0, 100.0], False
    ),
}

# %%
# Quality against cost
# --------------------
# Up and to the left is better.
figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.4), layout="constrained")
for colour, (name, results) in zip(PALETTE[1::-1], encoded.items(), strict=True):
    costs = [result.cost.flops for result in results]
    left.semilogx(costs, [r.recall for r in results], "o-", color=colour, label=name)
for colour, (name, results) in zip((PALETTE[0], PALETTE[2]), plain.items(), strict=True):
    costs = [result.cost.flops for result in results]
    right.semilogx(costs, [r.ndcg for r in results], "o-", color=colour, label=name)
quiet(left).set(xlabel="multiplications a pair", ylabel="recall at 10", title="both encoded")
quiet(right).set(xlabel="multiplications a pair", ylabel="NDCG at 10", title="plain queries")
for ax, ticks in ((left, [2, 5, 10, 20, 40]), (right, [0.2, 0.5, 1, 2])):
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_xticks([], minor=True)
    ax.legend(frameon=False, fontsize=8)
