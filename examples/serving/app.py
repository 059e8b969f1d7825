"""Answer requests by a classifier: NETWORK=net.safetensors uvicorn app:app --workers 2."""

import os

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

import theanets

net = theanets.Network.load(os.environ["NETWORK"])
# What a request needs is looked up and compiled here, before the first one.
predict = net.predictor("out")
names = net.metadata.get("classes") or list(range(net.output_layer.output_size))

app = FastAPI()


class Rows(BaseModel):
    rows: list[list[float]] = Field(min_length=1, max_length=1000)


@app.post("/predict")
def answer(asked: Rows):  # Not async, so that FastAPI calls it in threads of its own.
    try:
        probabilities = predict(asked.rows)
    except theanets.DataError as error:
        raise HTTPException(422, str(error)) from error
    return {
        "classes": [names[i] for i in probabilities.argmax(axis=1)],
        "probabilities": probabilities.tolist(),
    }


@app.get("/health")
def health():
    return {"status": "ok"}
