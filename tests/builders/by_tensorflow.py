"""Models of several kinds that TensorFlow and Keras write; neither is imported before a model is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_models(tf, folder):
    """Write each model into a folder of its name below *folder*, with the TensorFlow that is given."""
    for name, write in {"module": _module, "tf1": _tf1, "assets": _assets, "composite": _composite}.items():
        write(tf, str(folder / name))
    _keras(tf, folder)


def write_more_models(tf, folder):
    """Write models with what honest ones have besides: loops, data sets, logs, tables, images, texts."""
    writers = {"tf1_table": _tf1_table, "flow": _flow, "data": _data, "logs": _logs, "resume": _resume}
    for name, write in writers.items():
        write(tf, str(folder / name))
    _more_keras(tf, folder)


def _keras(tf, folder):
    """A trained Keras model, once exported for serving and once saved with its optimizer."""
    import keras

    layers = [keras.layers.Dense(3), keras.layers.BatchNormalization(), keras.layers.Dense(3), keras.layers.Dense(2)]
    model = keras.Sequential([keras.layers.Input((4,)), *layers])
    model.compile("adam", "mse")
    model.fit(np.ones((8, 4), np.float32), np.ones((8, 2), np.float32), verbose=0)
    model.export(str(folder / "keras_export"), verbose=False)
    tf.saved_model.save(model, str(folder / "keras_saved"))


def _module(tf, path):
    """Four trainable variables of one name and one shape, one of them twice among the attributes, and a frozen one."""
    module = tf.Module()
    module.matrices = [tf.Variable(tf.zeros([3, 3])) for _ in range(4)]
    module.again = module.matrices[0]
    module.frozen = tf.Variable(1.0, trainable=False)

    def product(x):
        for matrix in module.matrices:
            x = x @ matrix
        return {"y": x * module.frozen}

    call = tf.function(product, input_signature=[tf.TensorSpec([None, 3], name="x")])
    tf.saved_model.save(module, path, signatures=call)


def _tf1(tf, path):
    """A session of TensorFlow 1 after one step of Adam, with one partitioned variable; two graphs share the variables."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 4], name="x")
        kernel = v1.get_variable("kernel", [4, 2], partitioner=v1.fixed_size_partitioner(2), use_resource=False)
        bias = v1.get_variable("bias", [2], use_resource=True)
        y = tf.add(x @ tf.convert_to_tensor(kernel), bias, name="y")
        train = v1.train.AdamOptimizer().minimize(tf.reduce_sum(y), global_step=v1.train.get_or_create_global_step())
        session.run(v1.global_variables_initializer())
        session.run(train, {x: np.ones((1, 4), np.float32)})
        info = v1.saved_model.utils.build_tensor_info
        signature = v1.saved_model.build_signature_def({"x": info(x)}, {"y": info(y)}, "tensorflow/serving/predict")
        builder = v1.saved_model.Builder(path)
        builder.add_meta_graph_and_variables(session, ["train"], {"train": signature})
        builder.add_meta_graph(["serve"], {"serving_default": signature})
        builder.save()


def _assets(tf, path):
    """A table that is filled from an asset, and no variables."""
    words = Path(f"{path}-words.txt")
    words.write_text("a\nb\n")
    module = tf.Module()
    init = tf.lookup.TextFileInitializer(
        str(words), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
    )
    module.table = tf.lookup.StaticHashTable(init, -1)
    call = tf.function(lambda x: {"y": module.table.lookup(x)}, input_signature=[tf.TensorSpec([None], tf.string, name="x")])
    tf.saved_model.save(module, path, signatures=call)
    words.unlink()


def _composite(tf, path):
    """A signature that gives a ragged and a sparse tensor."""
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.int64, name="x")])
    def call(x):
        return {"ragged": tf.RaggedTensor.from_tensor(x), "sparse": tf.sparse.from_dense(x)}

    module.call = call
    tf.saved_model.save(module, path, signatures=call)


def saved(tf, path, call, *specs, module=None):
    module = module or tf.Module()
    module.call = tf.function(call, input_signature=specs)
    tf.saved_model.save(module, path, signatures=module.call)


def _flow(tf, path):
    """Loops, branches and random numbers."""

    def call(x):
        total = tf.while_loop(lambda at, _: at < 3, lambda at, y: (at + 1, y * 2.0), [0, x])[1]
        return {"y": tf.cond(tf.reduce_sum(x) > 0, lambda: total, lambda: total + tf.random.normal(tf.shape(x)))}

    saved(tf, path, call, tf.TensorSpec([None, 3], name="x"))


def _data(tf, path):
    """A data set of what the signature is given."""

    def call(x):
        batches = tf.data.Dataset.from_tensor_slices(x).map(lambda one: one * 2.0).batch(2).prefetch(1)
        return {"y": batches.reduce(0.0, lambda state, one: state + tf.reduce_sum(one))}

    saved(tf, path, call, tf.TensorSpec([None], name="x"))


def _logs(tf, path):
    """A signature that prints and asserts, and decodes images."""

    def call(x):
        tf.print("decodes", tf.shape(x))
        tf.debugging.assert_rank(x, 1)
        return {"y": tf.map_fn(lambda one: tf.io.decode_png(one, 3), x, fn_output_signature=tf.uint8)}

    saved(tf, path, call, tf.TensorSpec([None], tf.string, name="x"))


def _tf1_table(tf, path):
    """TensorFlow 1: a table filled from an asset by the main op, training inputs left in the graph, a Saver of its own."""
    v1 = tf.compat.v1
    words = Path(f"{path}-words.txt")
    words.write_text("a\nb\n")
    with tf.Graph().as_default(), v1.Session() as session:
        examples = v1.data.make_one_shot_iterator(v1.data.TFRecordDataset("/data/train.tfrecord")).get_next()
        x = v1.placeholder_with_default(examples, [], name="x")
        v1.get_variable("w", [2])
        file = tf.constant(str(words))
        v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, file)
        initializer = tf.lookup.TextFileInitializer(
            file, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
        )
        y = tf.lookup.StaticHashTable(initializer, -1).lookup(x)
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        builder = v1.saved_model.Builder(path)
        info = v1.saved_model.utils.build_tensor_info
        signature = v1.saved_model.build_signature_def({"x": info(x)}, {"y": info(y)}, "tensorflow/serving/predict")
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {"serving_default": signature},
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
            main_op=v1.tables_initializer(),
            saver=v1.train.Saver(sharded=True),
        )
        builder.save()
    words.unlink()


def _resume(tf, path):
    """A checkpoint of TensorFlow 1 with its graph."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        v1.get_variable("w", [2])
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, f"{path}/model.ckpt", global_step=1)


def _more_keras(tf, folder):
    import keras

    layers = keras.layers
    image = keras.Sequential([layers.Input((8, 8, 3)), layers.Conv2D(2, 3), layers.GlobalAveragePooling2D(), layers.Dense(2)])
    image.export(str(folder / "image"), verbose=False)
    series = keras.Sequential([layers.Input((5, 2)), layers.LSTM(3), layers.Dropout(0.5), layers.Dense(1)])
    series.export(str(folder / "series"), verbose=False)
    tf.saved_model.save(series, str(folder / "series_saved"))
    texts = keras.Sequential(
        [layers.Input((), dtype="string"), layers.TextVectorization(vocabulary=["a", "b"]), layers.Embedding(9, 2)]
    )
    texts.export(str(folder / "texts"), verbose=False)
    lookup = keras.Sequential([layers.Input((1,), dtype="string"), layers.StringLookup(vocabulary=["a", "b"])])
    tf.saved_model.save(lookup, str(folder / "lookup"))
