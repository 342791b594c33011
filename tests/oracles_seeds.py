"""Backpropagation one row and one number at a time, from the formulas of textbooks."""

import math


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def sigmoid_derivative(z):
    return sigmoid(z) * (1 - sigmoid(z))


def neuron_gradient(w, b, X, y):
    """Mean over rows of dC/dw and dC/db for L = (a - y)^2 / 2, a = sigmoid(w . x + b)."""
    dw, db = [0.0] * len(w), 0.0
    for x, target in zip(X, y, strict=True):
        z = b + sum(w_k * x_k for w_k, x_k in zip(w, x, strict=True))
        delta = (sigmoid(z) - target) * sigmoid_derivative(z)
        for k, x_k in enumerate(x):
            dw[k] += delta * x_k / len(X)
        db += delta / len(X)
    return dw, db


def column_mlp_row_gradient(W, b, x, y):
    """One row's dC/dW and dC/db for C = 1/2 sum_i (a_i - y_i)^2, sigmoids throughout.

    Column form: W[l][i][j] leads to unit i from unit j, so z_i = sum_j w_ij a_j + b_i. Then, backwards,
    delta_i = (a_i - y_i) sigmoid'(z_i) in the last layer, delta_j = sum_i w_ij delta_i sigmoid'(z_j) before it,
    dC/dw_ij = delta_i a_j and dC/db_i = delta_i.
    """
    depth = len(W)
    a, z = [list(x)], []
    for l in range(depth):
        z.append([b[l][i] + sum(W[l][i][j] * a[l][j] for j in range(len(a[l]))) for i in range(len(b[l]))])
        a.append([sigmoid(z_i) for z_i in z[l]])
    delta = [[] for _ in range(depth)]
    delta[-1] = [(a[-1][i] - y[i]) * sigmoid_derivative(z[-1][i]) for i in range(len(y))]
    for l in range(depth - 2, -1, -1):
        for j in range(len(b[l])):
            back = sum(W[l + 1][i][j] * delta[l + 1][i] for i in range(len(b[l + 1])))
            delta[l].append(back * sigmoid_derivative(z[l][j]))
    dW = [[[delta_i * a_j for a_j in a[l]] for delta_i in delta[l]] for l in range(depth)]
    return dW, delta


def column_mlp_gradient(W, b, X, y):
    """Mean over rows of `column_mlp_row_gradient`."""
    dW = [[[0.0] * len(row) for row in layer] for layer in W]
    db = [[0.0] * len(layer) for layer in b]
    for x, target in zip(X, y, strict=True):
        row_dW, row_db = column_mlp_row_gradient(W, b, x, target)
        for l in range(len(W)):
            for i in range(len(b[l])):
                db[l][i] += row_db[l][i] / len(X)
                for j in range(len(W[l][i])):
                    dW[l][i][j] += row_dW[l][i][j] / len(X)
    return dW, db


def softmax_net_gradient(W1, b1, W2, b2, X, y):
    """Mean over rows of the gradient of -log P_y for a relu layer and a softmax layer, as (dW1, db1, dW2, db2).

    Row form: W[j][k] leads from unit j to unit k. The derivative in score k goes through the softmax's own derivatives,
    dL/dP_y = -1 / P_y, dP_y/ds_y = P_y (1 - P_y) and dP_y/ds_k = -P_y P_k, without the short cut P - Y.
    """
    n, n_in, n_hidden, n_out = len(X), len(W1), len(W2), len(b2)
    dW1, db1 = [[0.0] * n_hidden for _ in range(n_in)], [0.0] * n_hidden
    dW2, db2 = [[0.0] * n_out for _ in range(n_hidden)], [0.0] * n_out
    for x, c in zip(X, y, strict=True):
        r = [b1[k] + sum(x[j] * W1[j][k] for j in range(n_in)) for k in range(n_hidden)]
        h = [max(0.0, r_k) for r_k in r]
        s = [b2[k] + sum(h[j] * W2[j][k] for j in range(n_hidden)) for k in range(n_out)]
        total = sum(math.exp(s_k) for s_k in s)
        P = [math.exp(s_k) / total for s_k in s]
        ds = [-1 / P[c] * (P[c] * (1 - P[c]) if k == c else -P[c] * P[k]) for k in range(n_out)]
        for k in range(n_out):
            db2[k] += ds[k] / n
            for j in range(n_hidden):
                dW2[j][k] += h[j] * ds[k] / n
        for j in range(n_hidden):
            dr = sum(W2[j][k] * ds[k] for k in range(n_out)) if r[j] > 0 else 0.0
            db1[j] += dr / n
            for i in range(n_in):
                dW1[i][j] += x[i] * dr / n
    return dW1, db1, dW2, db2
