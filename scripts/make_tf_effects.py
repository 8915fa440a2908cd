"""Write `detectors/safety/tf_effects.txt`: what each operator that TensorFlow registers does to the world outside its graph.

    python -m scripts.make_tf_effects > detectors/safety/tf_effects.txt

Run it with the TensorFlow whose operators shall count as known; the scan itself never imports TensorFlow. How a line is written
is told in `detectors.safety.tf_effects`, which reads it.

The registry says which operators there are, what their arguments are called, which take functions and which keep state. It
does not say which of them open a file, so that stands here, operator by operator. A list that nobody looks at again would rot
with the next release, so every operator that might do something and stands nowhere here stops this script with its name: one
whose arguments sound like a place, and one that keeps state and belongs to no family that is known to keep it in memory.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator

from google.protobuf.message import Message

from scripts.make_tf_ops import registered

READ, WRITE, NETWORK, PYTHON, PROCESS, NATIVE, COMPILED, GRAPH = (
    "read write network python process native compiled graph".split()
)

EFFECTS = {
    READ: """
        ReadFile=filename MatchingFiles=pattern MatchingFilesDataset=patterns ExperimentalMatchingFilesDataset=patterns
        WholeFileReader=* WholeFileReaderV2=* TextLineReader=* TextLineReaderV2=* FixedLengthRecordReader=*
        FixedLengthRecordReaderV2=* TFRecordReader=* TFRecordReaderV2=* LMDBReader=*
        TFRecordDataset=filenames TFRecordDatasetV2=filenames TextLineDataset=filenames FixedLengthRecordDataset=filenames
        FixedLengthRecordDatasetV2=filenames CSVDataset=filenames CSVDatasetV2=filenames ExperimentalCSVDataset=filenames
        LMDBDataset=filenames ExperimentalLMDBDataset=filenames SqlDataset=data_source_name
        ExperimentalSqlDataset=data_source_name LoadDataset=path SnapshotDatasetReader=shard_dir SnapshotChunkDataset=chunk_file
        ListSnapshotChunksDataset=snapshot_path RecordInput=@file_pattern ImmutableConst=@memory_region_name
        LoadAndRemapMatrix=ckpt_path GenerateVocabRemapping=new_vocab_file,old_vocab_file
        InitializeTableFromTextFile=filename InitializeTableFromTextFileV2=filename FixedUnigramCandidateSampler=@vocab_file
        Skipgram=@filename DecodeProtoV2=@descriptor_source EncodeProto=@descriptor_source
        Restore=file_pattern RestoreSlice=file_pattern RestoreV2=prefix DTensorRestoreV2=prefix
    """,
    WRITE: """
        WriteFile=filename Save=filename SaveSlices=filename SaveV2=prefix
        MergeV2Checkpoints=checkpoint_prefixes,destination_prefix ShardedFilename=basename ShardedFilespec=basename
        CacheDataset=filename CacheDatasetV2=filename SnapshotDataset=path,@reader_path_prefix,@writer_path_prefix
        SnapshotDatasetV2=path,@reader_prefix,@writer_prefix SaveDataset=path SaveDatasetV2=path
        DatasetToTFRecord=filename ExperimentalDatasetToTFRecord=filename DistributedSave=directory,address
        CreateSummaryFileWriter=logdir CreateSummaryDbWriter=db_uri DumpTensor=@log_dir_path
        CalibrationStatisticsSaver=@output_file_path PrintV2=@output_stream
    """,
    NETWORK: """
        DataServiceDataset=address DataServiceDatasetV2=address DataServiceDatasetV3=address DataServiceDatasetV4=address
        RegisterDataset=address RegisterDatasetV2=address RpcClient=server_address RpcServer=server_address RpcServerStart
        RpcServerRegister RpcCall RpcCheckStatus RpcGetValue RemoteCall
        DebugIdentity=@debug_urls DebugIdentityV2=@debug_urls DebugIdentityV3=@debug_urls DebugNanCount=@debug_urls
        DebugNumericSummary=@debug_urls Copy=@debug_ops_spec CopyHost=@debug_ops_spec
        Send Recv _Send _Recv _HostSend _HostRecv CollectiveInitializeCommunicator CollectiveAssignGroupV2 CollectiveAllToAllV2
        CollectiveAllToAllV3 CollectiveBcastRecv CollectiveBcastRecvV2 CollectiveBcastSend CollectiveBcastSendV2
        CollectiveGather CollectiveGatherV2 CollectivePermute CollectiveReduce CollectiveReduceScatterV2 CollectiveReduceV2
        CollectiveReduceV3 ConfigureAndInitializeGlobalTPU ConfigureDistributedTPU ConfigureTPUEmbeddingHost
        ConnectTPUEmbeddingHosts _ConfigureDistributedTPU _InitializeHostForDistributedTPU _WaitForDistributedTPU
        _DisconnectHostFromDistributedTPUSystem StoreMinibatchStatisticsInFdo
    """,
    PYTHON: "PyFunc PyFuncStateless EagerPyFunc",
    PROCESS: """
        Abort WorkerHeartbeat ShutdownTPUSystem ShutdownDistributedTPU _ShutdownDistributedTPU
        FileSystemSetConfiguration=scheme,key,value
    """,
    NATIVE: "XlaCustomCall=@target_name XlaCustomCallV2=@call_target_name MlirPassthroughOp",
    COMPILED: """
        XlaCallModule XlaLaunch XlaLaunchV2 _XlaCompile _XlaRun XlaHostCompute _XlaHostComputeMlir _TPUCompileMlir TPUCompile
        TPUExecute TPUExecuteAndUpdateVariables
    """,
    GRAPH: "DatasetFromGraph=graph_def",
}
"""What operators do, and where it stands to what: an input, `@` and an attribute, or `*` for the files of a queue."""

SOUNDS_LIKE_A_PLACE = re.compile(
    r"file|path|(^|_)(log)?dir(_|$)|directory|address|ur[il]s?$|prefix|data_source|_source$|stream$|^target|_target|debug_(url|ops)"
    r"|module|graph_def|basename|memory_region"
)
"""Names of inputs and attributes of text."""

ONLY_SOUNDS = frozenset(
    """
    CTCBeamSearchDecoder.top_paths ExperimentalSetStatsAggregatorDataset.counter_prefix
    SetStatsAggregatorDataset.counter_prefix InTopK.targets InTopKV2.targets RemoteCall.target
    CreateSummaryFileWriter.filename_suffix
    DataServiceDataset.target_workers DataServiceDatasetV2.target_workers DataServiceDatasetV3.target_workers
    DataServiceDatasetV4.target_workers DumpTensor.file_name MlirPassthroughOp.mlir_module XlaCallModule.module
    _XlaHostComputeMlir.host_mlir_module _TPUCompileMlir.mlir_module
    """.split()
)
"""Arguments of operators that name no place, or stand beside the one that does."""

IN_MEMORY = re.compile(
    r"""(?x) _?(
    Add(Many)?SparseToTensorsMap | TakeManySparse.* | Barrier.* | .*Accumulator.* | BoostedTrees.* | IsBoostedTrees.*
    | Anonymous.* | Delete.* | Destroy.* | Disable.* | Dummy.* | .*Iterator.* | .*HashTable.* | LookupTable.*
    | InitializeTable(V2|FromDataset) | .*Queue.* | .*Stack(V2)? | Stack.* | .*Variable.* | VarHandleOp | VarIsInitializedOp
    | Assign.* | Read.*Variable.* | VarHandlesOp | Resource.* | IsResource.* | StubResource.* | MakeWeak.* | Map[A-Z].*
    | OrderedMap.* | .*Stage.* | Unstage | Mutex.* | ConsumeMutexLock | TensorArray.* | GetSession.* | .*SessionTensor
    | Reader.* | IdentityReader.* | .*Random.* | Rng.* | .*CandidateSampler | Multinomial | NegTrain | NonDeterministicInts
    | Parameterized.* | TruncatedNormal | Stateful(Random|Standard|Truncated|Uniform).* | SampleDistorted.*
    | StatelessRandomGetAlg | .*Dataset(V\d)? | DatasetTo.* | ReduceDataset | .*ThreadPool.* | .*Stats.* | Thread.*
    | Set.*Dataset
    | (Close|Flush)?SummaryWriter | Write[A-Z]\w*Summary | WriteSummary | ImportEvent
    | If | While | Case | XlaIf | XlaWhile | RiscWhile | StatefulPartitionedCall | Assert | CheckNumerics(V2)? | Print
    | CudnnRNN.* | Empty | GuaranteeConst | GraphDefVersion | RequiresOlderGraphVersion | IsTensorFloat32Enabled | DeepCopy
    | DeviceIndex | DevicePlacementOp | DtypeWithDefaultOp | FakeQueue | SleepOp | SleepIdentityOp | SyncDevice | TestAttr
    | Timestamp | Arg | Retval | DeviceArg | DeviceRetval | ParallelConcatStart | ScopedAllocator.* | Nccl.* | AllToAll
    | CrossReplicaSum | .*TPU.* | .*Infeed.* | .*Outfeed.* | Compute(Dedup).* | ConvertToCoo.* | GetMinibatch.* | GlobalIterId
    | UpdateTaskId.* | DTensorSet.* | Xla(Dequantize|Recv|Send|SparseCore).* | Xla(RecvAt|SendFrom)Host.*
    | Xla(AotOnly|Compile).*
    )"""
)
"""Operators that keep state and whose state ends with the process: variables, tables, queues, random numbers, data sets of
other data sets, devices. Summaries are written by the writer that they are given, which another operator made."""

STRING = 7
"""tensorflow/core/framework/types.proto, DT_STRING."""


def effects() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the effect of each operator in `EFFECTS`, and the names of its arguments."""
    words = ((effect, word.partition("=")) for effect, text in EFFECTS.items() for word in text.split())
    return {name: (effect, tuple(given.split(",")) if given else ()) for effect, (name, _, given) in words}


def places_of(op: Message) -> Iterator[str]:
    """Yield the arguments of *op* that are text and sound like a place."""
    named = [(arg.name, arg.type in (0, STRING)) for arg in op.input_arg]
    named += [(attr.name, attr.type in ("string", "list(string)")) for attr in op.attr]
    return (name for name, is_text in named if is_text and SOUNDS_LIKE_A_PLACE.search(name))


def unreviewed(op: Message) -> str | None:
    """Return why a person has to look at *op* first, None where what it does is known."""
    known = effects().get(op.name)
    arguments = {word.removeprefix("@") for word in known[1]} if known else set()
    places = [name for name in places_of(op) if name not in arguments and f"{op.name}.{name}" not in ONLY_SOUNDS]
    if places:
        return f"{op.name}: what is its argument {', '.join(places)}?"
    if known is None and op.is_stateful and not IN_MEMORY.fullmatch(op.name):
        return f"{op.name}: keeps state, where?"
    return None


def line_of(op: Message) -> str:
    """Return the line of *op*: its name, its effect, what its functions are called, and where the names of places are."""
    effect, arguments = effects().get(op.name, ("memory" if op.is_stateful else "pure", ()))
    functions = [attr.name for attr in op.attr if attr.type in ("func", "list(func)")]
    calls = [f"calls:{','.join(functions)}"] if functions else []
    return " ".join([op.name, effect, *calls, *(argument_of(op, word) for word in arguments)])


def argument_of(op: Message, word: str) -> str:
    """Return *word* as it is written: an input has its place behind it.

    Raises:
        ValueError: *op* has no such argument.
    """
    inputs = [arg.name for arg in op.input_arg]
    if word in inputs:
        place = inputs.index(word)
        if any(arg.number_attr or arg.type_list_attr for arg in op.input_arg[:place]):
            raise ValueError(f"{op.name}: {word} follows a list")
        return f"{word}={place}"
    if word == "*" or word.removeprefix("@") in {attr.name for attr in op.attr}:
        return word
    raise ValueError(f"{op.name}: no argument {word}")


def lines(ops: Iterable[Message], version: str) -> Iterator[str]:
    """Yield the file: a heading, then the operators sorted by name.

    Raises:
        ValueError: some of them, which it names, have to be looked at by a person first; or `EFFECTS` names one that is gone.
    """
    by_name = {op.name: op for op in ops}
    doubts = [doubt for op in by_name.values() if (doubt := unreviewed(op))]
    doubts += [f"{name}: is not registered" for name in effects() if name not in by_name]
    if doubts:
        raise ValueError("\n".join(doubts))
    yield f"# What operators of TensorFlow {version} do, written by scripts/make_tf_effects.py"
    yield from (line_of(by_name[name]) for name in sorted(by_name))


if __name__ == "__main__":
    import tensorflow

    sys.stdout.writelines(f"{line}\n" for line in lines(registered().op, tensorflow.__version__))
