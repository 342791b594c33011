"""The docstrings of MLPClassifier and MLPRegressor: what they share, and what each has of its own."""

SHARED = """
    solver : {"adam", "sgd", "lbfgs"}, default="adam"
        "lbfgs" is SciPy's, on all rows at once: often best on small data.
    alpha : float, default=0.0001
        L2 penalty, alpha / 2 * sum W^2, divided by the rows of the batch.
    batch_size : int or "auto", default="auto"
        Rows a step; "auto" is min(200, n_samples).
    learning_rate : {"constant", "invscaling", "adaptive"}, default="constant"
        Of sgd: as it is, learning_rate_init / (t + 1)^power_t after t rows, or divided by 5 whenever training stalls.
    learning_rate_init : float, default=0.001
        Of sgd and adam.
    power_t : float, default=0.5
        Exponent of "invscaling".
    max_iter : int, default=200
        Epochs of sgd and adam, iterations of lbfgs.
    shuffle : bool, default=True
        Whether each epoch takes the rows in a new order.
    random_state : int, RandomState instance or None, default=None
        Of initial weights, validation split, shuffling and dropout. An int gives the same bits each time, and the
        initial weights that scikit-learn draws from it.
    tol : float, default=1e-4
        A gain below it counts as none.
    verbose : bool, default=False
        Print the loss of each iteration.
    warm_start : bool, default=False
        Whether `fit` goes on from the last solution, the optimiser's moments included.
    momentum : float, default=0.9
        Of sgd.
    nesterovs_momentum : bool, default=True
        Of sgd with momentum.
    early_stopping : bool, default=False
        Set rows aside, score on them after each epoch, stop when the score no longer rises, keep the best weights.
    validation_fraction : float, default=0.1
        Share of rows set aside.
    beta_1, beta_2, epsilon : float, default=0.9, 0.999, 1e-8
        Of adam.
    n_iter_no_change : int, default=10
        Epochs without a gain before stopping.
    max_fun : int, default=15000
        Evaluations of the loss by lbfgs.
    initialization : str, default=None
        A name of `chainrule.nn.initializers`, such as "he_normal"; None: scikit-learn's, Glorot's uniform for weights
        and biases.
    dropout : float, default=0.0
        Share of each hidden layer's units dropped in training.
    normalization : {"batch", "layer"}, default=None
        Before each hidden activation.
    residual : bool, default=False
        Add its input to each hidden layer that is as wide as the layer before it.
    weight_decay : float, default=0.0
        Decoupled weight decay of adam, on weight matrices: its meaning does not change with the batch size.
    clip_norm : float, default=None
        Longest gradient let through by sgd and adam.
    schedule : str, Schedule or function, default=None
        Of sgd and adam: a name of `chainrule.training.schedules`, an object, or `(epoch, progress) -> factor`.
    validation_data : tuple (X, y), default=None
        Your own rows to measure on after each epoch, and to stop by with early_stopping.
    scoring : str or callable, default=None
        What early stopping goes by: any scorer of scikit-learn; None: accuracy or R2.
    time_limit : float, default=None
        Seconds after which training stops, with the weights it has.
    progress_bar : bool, default=False
        Show epoch, loss and time left on standard error.
    callbacks : sequence of chainrule.Callback, default=()
        Of sgd and adam. Callbacks of scikit-learn's own protocol are set with `set_callbacks`, for every solver.
"""

ATTRIBUTES = """
    network_ : chainrule.Network
        The network itself.
    predictor_ : chainrule.Predictor
        The same for columns by name, with NumPy alone: what `save` writes and what exports are made from.
    coefs_, intercepts_ : list of ndarray
        Weight matrix (n_in, n_out) and bias (n_out,) of each layer: views into `network_.theta`.
    loss_, best_loss_ : float
        The last loss, and the least (None with early stopping).
    loss_curve_ : list of float
        The loss of each epoch, as each batch was met.
    validation_scores_, validation_loss_curve_ : list of float or None
        Score and loss on the validation rows after each epoch.
    best_validation_score_ : float or None
    n_iter_ : int
        Epochs or iterations of the last fit.
    t_ : int
        Rows seen by sgd or adam, over all fits that went on from each other.
    n_features_in_, n_layers_, n_outputs_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Where X had column names that are all strings.
    out_activation_ : str
"""

HIDDEN = """
    hidden_layer_sizes : array-like of int, default=(100,)
        Units of each hidden layer.
    activation : str, function or sequence of them, default="relu"
        After each hidden layer: "identity", "logistic", "tanh", "relu" or any other name of
        `chainrule.nn.activations`; a sequence gives each layer its own.
"""

CLASSIFIER = f"""Multilayer perceptron that tells classes apart: scikit-learn's, one import away.

    Cross-entropy under softmax; for two classes, or several labels at once, under a sigmoid an output. Parameters up to
    max_fun have scikit-learn 1.9's names, defaults and meanings.

    Parameters
    ----------{HIDDEN.rstrip()}{SHARED.rstrip()}
    class_weight : dict, "balanced" or list of dict, default=None
        What each class counts for; "balanced" makes all classes count alike.
    label_smoothing : float, default=0.0
        Share of each target that is given to all classes evenly.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels, in the order of the columns of `predict_proba`.
    class_prior_ : ndarray of shape (n_classes,)
        Each class's share of the rows that the network began with.{ATTRIBUTES.rstrip()}
        "softmax" or "logistic".

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from chainrule import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier(solver="lbfgs", class_weight="balanced", alpha=0.1, max_iter=1000, random_state=0)
    >>> model.fit(X, y).predict(X[:1])
    array([0])
    """

REGRESSOR = f"""Multilayer perceptron that predicts numbers: scikit-learn's, one import away.

    Parameters up to max_fun have scikit-learn 1.9's names, defaults and meanings. The loss of a row is summed over its
    outputs, for every solver.

    Parameters
    ----------
    loss : str, Loss or function, default="squared_error"
        "squared_error" (half of it), "poisson" (half the deviance, with an exponential as the last step),
        "absolute_error", "huber", "quantile", an object such as `chainrule.nn.losses.Quantile((0.1, 0.9))`, or a
        function `(Z, Y) -> (losses, dZ)`, whose derivative is proved before it is used.
{HIDDEN.strip(chr(10))}
{SHARED.strip(chr(10))}
    output_activation : str or function, default="identity"
        After the last layer, such as "softplus" for answers above zero.
    output_range : tuple (low, high), default=None
        Bounds that no answer can leave.

    Attributes
    ----------{ATTRIBUTES.rstrip()}
        "exp" under the Poisson loss, else what stands after the last weights.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from chainrule import MLPRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = MLPRegressor("huber", solver="lbfgs", max_iter=50, alpha=1, tol=0.1, random_state=0)
    >>> model.fit(X, y).predict(X).shape
    (442,)
    """
