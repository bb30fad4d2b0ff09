"""A small GPT-2 and a small BERT, from their configurations, trained by transformers' Trainer."""

import hashlib
import sys

import torch
from torch.utils.data import Dataset
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    Trainer,
    TrainingArguments,
    set_seed,
)


class Words(Dataset):
    """Sequences of pairs of equal words; their class is the parity of the first."""

    def __init__(self, count, classes):
        self.words = torch.randint(1, 32, (count, 6)).repeat_interleave(2, dim=1)
        self.labels = self.words[:, 0] % 2 if classes else self.words

    def __len__(self):
        return len(self.words)

    def __getitem__(self, i):
        return {"input_ids": self.words[i], "labels": self.labels[i]}


def gpt2():
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=32, n_positions=16, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
        )
    )


def bert():
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=32,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            num_labels=2,
        )
    )


def train(folder, make, accumulate=1):
    set_seed(0)
    model = make()
    arguments = TrainingArguments(
        output_dir=folder,
        max_steps=20,
        per_device_train_batch_size=8,
        gradient_accumulation_steps=accumulate,
        learning_rate=3e-3,
        eval_strategy="steps",
        eval_steps=5,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = Trainer(
        model, arguments, train_dataset=Words(256, make is bert), eval_dataset=Words(32, make is bert)
    )
    trainer.train()
    return model


if __name__ == "__main__":
    bits = b"".join(p.detach().numpy().tobytes() for p in train(sys.argv[1], gpt2).parameters())
    print("ended", hashlib.sha256(bits + torch.get_rng_state().numpy().tobytes()).hexdigest())
