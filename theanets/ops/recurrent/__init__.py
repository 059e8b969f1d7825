"""The recurrent core: a series through a cell, step by step, as one operation.

A recurrent layer says what one step does, in PyTensor's expressions. This package makes an
operation of it that runs all steps and knows its own derivative: a small compiler. Here is its
way for the plainest layer, from the three lines of the step to the loop that Numba compiles.

**The step** is a function of what the input contributes (blocks ``x``), of the states ``s``
and of parameters ``v``, each by name, and of ``dot``, the product with a matrix. The layout
says which there are, and that all have the size ``n``:

>>> import pytensor.tensor as pt
>>> def step(x, s, v, dot, count):
...     (through,) = dot("hh", s.h)
...     out = pt.tanh(x.h + through + v.b)
...     return {"h": out}, {"out": out}
>>> layout = Layout(
...     sizes=("n",),
...     blocks={"h": "n"},
...     states={"h": "n"},
...     vectors={"b": "n"},
...     dots={"hh": ("n", ("n",))},
... )

**The trace** (`trace`) runs it once, on symbols. Products cut a step into parts in which all
is done entry by entry, so `entries` turns the matrices into 0-d variables, one entry each.
That is what PyTensor differentiates: the cotangents of all that leaves a step are symbols
like others, and the gradient of one entry is again a formula of one entry.

>>> cell, _ = trace(layout, step, "float32")

**The values** (`values`) are what is read of these expressions: a list of operations on
earlier ones without repetition, simplified while it grows. Leaves come first: a block of the
input, the old state, the vector, the number of the step, and the result of the product. Then
come the step, and from 8 on, the cotangent of the new state, the derivative. `scalars` has
the table of the operations.

>>> for i, value in enumerate(cell.values):
...     print(i, value.op, *value.args)
0 x 0
1 s 0
2 v 0 0
3 t
4 d 0 0
5 add 0 4
6 add 5 2
7 tanh 6
8 gs 0
9 const 0.0
10 const 1.0
11 mul 7 7
12 sub 10 11
13 mul 8 12

**The cell** (`cell`) says what these are for: value 1, the old state, is multiplied; 7 is the
new state and the output; 13 is the gradient with respect to the block and to the product. It
is plain data, so cells can be compared, pickled, and printed for several libraries.

>>> cell.dots[0].value, cell.next, cell.outputs, cell.d_blocks, cell.d_dots
(1, (7,), (7,), (13,), ((13,),))

**The plan** (`plan`) is the order of a step: waves of loops over units, with a product after
each. Here the first wave is the product alone, since what it multiplies is there; the second
is one loop, which stores the state and the output. The derivative goes the other way.

>>> from .plan import backward_plan, forward_plan
>>> plan = forward_plan(cell, kept=[True])
>>> def show(plan):
...     for wave in plan.waves:
...         loops = [(loop.order, [store.kind for store in loop.stores]) for loop in wave.loops]
...         print(*loops, "product", wave.dot)
>>> show(plan)
product 0
((5, 6, 7), ['s', 'o']) product None
>>> show(backward_plan(cell))
((11, 12, 13), ['dd', 'dz', 'dv']) product 0
product None

**The loops** (`loops`) are printed from the plan, a function each. Series are of different
lengths, ``L``: steps that do not exist leave states as they are and have outputs of 0.

>>> from .loops import ForwardPrinter
>>> printer = ForwardPrinter(cell, plan)
>>> call = printer.loop("steps", plan.waves[1].loops[0])
>>> print(*printer.functions)
@loop
def steps(t, r, reverse, L, n0, z, v0, s0, d0, o0):
    for b in range(U(L.shape[0])):
        if t < L[b]:
            for j in range(n0):
                q0 = z[b, t, j]
                q2 = v0[j]
                q4 = d0[b, j]
                q5 = (q0 + q4)
                q6 = (q5 + q2)
                q7 = tanh(q6)
                s0[b, j] = q7
                o0[b, t, j] = q7
        else:
            for j in range(n0):
                o0[b, t, j] = F(0)

**The derivative in a direction** (`tangent`) of a recurrence is a recurrence of the values and
their changes: a cell with twice the blocks, states and vectors. The derivative of a gradient is
the gradient of that one, so there are derivatives of any order, by the same loops.

`by_numba` prints the function around them, which goes through the steps and calls BLAS, and
compiles it all. `by_numpy` prints a line of NumPy for each value instead. `arrays` evaluates
the values one by one, with the functions of JAX (`by_jax`). `by_torch` prints a loop that calls
PyTorch, and has as much as it can before and after it (`torch_source`). `operation` has the two
Ops that PyTensor sees, `recur`, which applies them, and the rewrites that leave out what nobody
uses. What is not done entry by entry is refused by `entries`, and layers run it by PyTensor's
scan instead (`scan`).
"""

from . import rewrites  # noqa: F401  (registers them)
from .operation import Recurrence, RecurrentBackward, RecurrentForward, recur
from .scan import scan
from .trace import Layout, Named, NotElementwiseError, Products, Results, StepFunction, trace

__all__ = [
    "Layout",
    "Named",
    "NotElementwiseError",
    "Products",
    "Recurrence",
    "RecurrentBackward",
    "RecurrentForward",
    "Results",
    "StepFunction",
    "recur",
    "scan",
    "trace",
]
